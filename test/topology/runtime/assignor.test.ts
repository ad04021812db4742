import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { JoinedMember } from '../../../connectors/log.ts';
import { decodeAssignment, encodeAssignment, encodeClaims } from '../../../topology/runtime/assignment.ts';
import type { MemberClaims } from '../../../topology/runtime/assignment.ts';
import { assignTasks } from '../../../topology/runtime/assignor.ts';

const claims = (instanceId: string, more: Partial<MemberClaims> = {}): MemberClaims => ({
  instanceId,
  startedAtMs: 1,
  ownedTasks: [],
  generation: 1,
  storedTasks: [],
  fingerprint: 'f',
  transactionalId: `t-${instanceId}`,
  ...more,
});

const member = (memberId: string, of: MemberClaims): JoinedMember => ({
  memberId,
  topics: [],
  userData: encodeClaims(of),
});

const taskList = (subTopologies: number, partitions: number): string[] =>
  Array.from(
    { length: subTopologies * partitions },
    (_, index) => `${String(index % subTopologies)}_${String(Math.floor(index / subTopologies))}`,
  );

function assign(members: ReturnType<typeof member>[], tasks: readonly string[]) {
  return assignTasks({ members, tasks, fingerprint: 'f', previous: [], dead: [] });
}

describe('assignor', () => {
  it('gives every task to exactly one member, in fair shares, when nobody owns anything', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 12 }),
        (count, subs, partitions) => {
          const tasks = taskList(subs, partitions);
          const members = Array.from({ length: count }, (_, index) =>
            member(`m${String(index)}`, claims(`i${String(index)}`)),
          );
          const { assignments, isProvisional } = assign(members, tasks);
          const given = [...assignments.values()].flatMap((assignment) => assignment.tasks);
          expect([...given].sort()).toEqual([...tasks].sort());
          const sizes = [...assignments.values()].map((assignment) => assignment.tasks.length);
          expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
          expect(isProvisional).toBe(false);
        },
      ),
    );
  });

  it('never takes a task from its live owner and gives it away in the same round', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 24 }), (owners) => {
        const tasks = taskList(1, owners.length);
        const owned = (who: number) => tasks.filter((_, index) => owners[index] === who);
        const members = [0, 1, 2, 3].map((who) =>
          member(`m${String(who)}`, claims(`i${String(who)}`, { ownedTasks: owned(who) })),
        );
        const first = assign(members, tasks);
        for (const [index, task] of tasks.entries())
          for (const [memberId, assignment] of first.assignments)
            if (assignment.tasks.includes(task)) expect(memberId).toBe(`m${String(owners[index])}`);
        // After the owners let go of what they lost, the second round gives everything out, evenly.
        const second = assign(
          [0, 1, 2, 3].map((who) =>
            member(
              `m${String(who)}`,
              claims(`i${String(who)}`, { ownedTasks: first.assignments.get(`m${String(who)}`)?.tasks ?? [] }),
            ),
          ),
          tasks,
        );
        expect(second.isProvisional).toBe(false);
        const sizes = [...second.assignments.values()].map((assignment) => assignment.tasks.length);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
        expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(tasks.length);
        // What did not have to move stayed.
        for (const [memberId, assignment] of first.assignments)
          for (const task of assignment.tasks) expect(second.assignments.get(memberId)?.tasks).toContain(task);
      }),
    );
  });

  it('prefers the member whose disk has the state', () => {
    const { assignments } = assign(
      [member('m1', claims('i1')), member('m2', claims('i2', { storedTasks: ['0_0', '0_2'] }))],
      taskList(1, 4),
    );
    expect(assignments.get('m2')?.tasks).toEqual(['0_0', '0_2']);
  });

  it('ignores a claim of an older generation', () => {
    const { assignments } = assign(
      [
        member('m1', claims('i1', { ownedTasks: ['0_0'], generation: 3 })),
        member('m2', claims('i2', { ownedTasks: ['0_0'], generation: 7 })),
      ],
      taskList(1, 2),
    );
    expect(assignments.get('m2')?.tasks).toEqual(['0_0']);
    expect(assignments.get('m1')?.tasks).toEqual(['0_1']);
  });

  it('gives nothing to a second member with a taken instance id, and says so', () => {
    const { assignments } = assign(
      [member('m1', claims('same', { startedAtMs: 5 })), member('m2', claims('same', { startedAtMs: 9 }))],
      taskList(1, 3),
    );
    expect(assignments.get('m1')?.tasks).toHaveLength(3);
    expect(assignments.get('m2')).toMatchObject({ tasks: [], refusal: 'INSTANCE_ID_TAKEN' });
  });

  it('gives nothing to a foreign member or to one that runs another topology', () => {
    const { assignments } = assign(
      [
        member('m1', claims('i1')),
        member('m2', claims('i2', { fingerprint: 'other' })),
        { memberId: 'foreign', topics: ['x'], userData: Buffer.from([1, 2, 3]) },
      ],
      taskList(2, 2),
    );
    expect(assignments.get('m1')?.tasks).toHaveLength(4);
    expect(assignments.get('m2')).toMatchObject({ tasks: [], refusal: 'FINGERPRINT_DIFFERS' });
    expect(assignments.get('foreign')).toMatchObject({ tasks: [] });
  });

  it('carries the transactional ids of members that are gone', () => {
    const first = assign([member('m1', claims('i1')), member('m2', claims('i2'))], taskList(1, 2));
    const { assignments } = assignTasks({
      members: [member('m1', claims('i1'))],
      tasks: taskList(1, 2),
      fingerprint: 'f',
      previous: first.assignments.get('m1')?.peers ?? [],
      dead: ['t-older'],
    });
    expect(assignments.get('m1')?.deadTransactionalIds).toEqual(['t-older', 't-i2']);
  });

  it('round-trips through bytes and refuses bytes that are not its own', () => {
    const { assignments } = assign([member('m1', claims('i1', { url: 'http://127.0.0.1:1' }))], taskList(1, 2));
    const data = assignments.get('m1');
    expect(data).toBeDefined();
    if (data !== undefined) expect(decodeAssignment(encodeAssignment(data))).toEqual(data);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(decodeAssignment(bytes)).toBeUndefined();
      }),
    );
  });
});
