import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { JoinedMember } from '../../../connectors/log.ts';
import { decodeAssignment, encodeAssignment, encodeClaims } from '../../../topology/runtime/assignment.ts';
import type { MemberClaims } from '../../../topology/runtime/assignment.ts';
import { assignTasks } from '../../../topology/runtime/assignor.ts';
import type { AssignorResult, TaskToAssign } from '../../../topology/runtime/assignor.ts';
import type { PlacementLimits } from '../../../topology/runtime/placement.ts';

const claims = (instanceId: string, more: Partial<MemberClaims> = {}): MemberClaims => ({
  instanceId,
  startedAtMs: 1,
  ownedTasks: [],
  generation: 1,
  standbyTasks: [],
  positions: {},
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

const limits = { standbys: 0, acceptableRecoveryLag: 100, warmUpsMax: 2 };
/** Where the changelogs of all tasks end in these tests. */
const end = 1_000;

const stateful = (tasks: readonly string[]): TaskToAssign[] => tasks.map((id) => ({ id, isStateful: true, end }));

function assign(members: readonly JoinedMember[], tasks: readonly string[], more: Partial<PlacementLimits> = {}) {
  return assignTasks({
    members,
    tasks: stateful(tasks),
    fingerprint: 'f',
    limits: { ...limits, ...more },
    previous: [],
    dead: [],
  });
}

/** What each member says of itself once it did as it was told: active tasks run, standbys are complete, the rest lies on its disk. */
function settle(result: AssignorResult, ids: readonly string[], disks: Map<string, Set<string>> = new Map()) {
  return ids.map((id) => {
    const { tasks = [], standbyTasks = [] } = result.assignments.get(`m-${id}`) ?? {};
    const disk = disks.get(id) ?? new Set<string>();
    disks.set(id, disk);
    for (const task of [...tasks, ...standbyTasks]) disk.add(task);
    const positions = Object.fromEntries([...disk].filter((task) => !tasks.includes(task)).map((task) => [task, end]));
    return member(`m-${id}`, claims(id, { ownedTasks: tasks, standbyTasks, positions, generation: 2 }));
  });
}

/** Rebalances until nothing waits for its owner any more. */
function settled(
  first: readonly JoinedMember[],
  ids: readonly string[],
  tasks: readonly string[],
  more: Partial<PlacementLimits>,
) {
  const disks = new Map<string, Set<string>>();
  let result = assign(first, tasks, more);
  for (let round = 0; result.isProvisional; round += 1) {
    expect(round).toBeLessThan(5);
    result = assign(settle(result, ids, disks), tasks, more);
  }
  return { result, members: settle(result, ids, disks), disks };
}

function activeOf(result: AssignorResult): Map<string, string> {
  const active = new Map<string, string>();
  for (const [memberId, { tasks }] of result.assignments)
    for (const task of tasks) {
      expect(active.has(task)).toBe(false);
      active.set(task, memberId);
    }
  return active;
}

const groups = fc.record({
  count: fc.integer({ min: 1, max: 6 }),
  subs: fc.integer({ min: 1, max: 3 }),
  partitions: fc.integer({ min: 1, max: 10 }),
  standbys: fc.integer({ min: 0, max: 2 }),
});

const idsOf = (count: number): string[] => Array.from({ length: count }, (_, index) => `i${String(index)}`);
const fresh = (ids: readonly string[]) => ids.map((id) => member(`m-${id}`, claims(id)));
const spreadOf = (sizes: readonly number[]): number => Math.max(...sizes) - Math.min(...sizes);

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
        const first = assign(members, tasks, { acceptableRecoveryLag: end });
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
          { acceptableRecoveryLag: end },
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
      [member('m1', claims('i1')), member('m2', claims('i2', { positions: { '0_0': end, '0_2': end } }))],
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
      tasks: stateful(taskList(1, 2)),
      fingerprint: 'f',
      limits,
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

describe('assignor with state', () => {
  it('places standbys on as many other members as there are, never where the task runs, and spreads them', () => {
    fc.assert(
      fc.property(groups, ({ count, subs, partitions, standbys }) => {
        const ids = idsOf(count);
        const tasks = taskList(subs, partitions);
        const { result } = settled(fresh(ids), ids, tasks, { standbys });
        const active = activeOf(result);
        expect([...active.keys()].sort()).toEqual([...tasks].sort());
        const copies = Math.min(standbys, count - 1);
        for (const task of tasks) {
          const holders = [...result.assignments].filter(([, { standbyTasks }]) => standbyTasks.includes(task));
          expect(holders).toHaveLength(copies);
          expect(holders.map(([memberId]) => memberId)).not.toContain(active.get(task));
        }
        const sizes = [...result.assignments.values()].map(({ standbyTasks }) => standbyTasks.length);
        expect(Math.max(...sizes)).toBeLessThanOrEqual(Math.ceil((tasks.length * copies) / count) + 1);
      }),
    );
  });

  it('changes nothing when nothing has changed', () => {
    fc.assert(
      fc.property(groups, ({ count, subs, partitions, standbys }) => {
        const ids = idsOf(count);
        const tasks = taskList(subs, partitions);
        const { result, members } = settled(fresh(ids), ids, tasks, { standbys });
        const again = assign(members, tasks, { standbys });
        expect(again.isProvisional).toBe(false);
        expect([...again.assignments]).toEqual([...result.assignments]);
      }),
    );
  });

  it('moves no more than even shares demand when a member joins, and only orphans when one leaves', () => {
    fc.assert(
      fc.property(groups, ({ count, subs, partitions, standbys }) => {
        const ids = idsOf(count);
        const tasks = taskList(subs, partitions);
        const before = settled(fresh(ids), ids, tasks, { standbys });
        const active = activeOf(before.result);
        const more = [...ids, 'new'];
        const grown = settled([...before.members, ...fresh(['new'])], more, tasks, {
          standbys,
          acceptableRecoveryLag: end,
        });
        const moved = [...activeOf(grown.result)].filter(([task, memberId]) => active.get(task) !== memberId);
        expect(moved).toHaveLength(Math.floor(tasks.length / more.length));
        expect(moved.every(([, memberId]) => memberId === 'm-new')).toBe(true);

        const left = before.members.slice(1);
        if (left.length === 0) return;
        const shrunk = assign(left, tasks, { standbys, acceptableRecoveryLag: end });
        expect(shrunk.isProvisional).toBe(false);
        for (const [task, memberId] of activeOf(shrunk))
          if (active.get(task) !== 'm-i0') expect(memberId).toBe(active.get(task));
        expect(spreadOf([...shrunk.assignments.values()].map((assignment) => assignment.tasks.length))).toBeLessThan(2);
      }),
    );
  });

  it('gives the tasks of a member that is gone to their standbys', () => {
    const ids = ['a', 'b', 'c'];
    const tasks = taskList(1, 9);
    const { result, members } = settled(fresh(ids), ids, tasks, { standbys: 1 });
    const orphans = result.assignments.get('m-a')?.tasks ?? [];
    const after = activeOf(assign(members.slice(1), tasks, { standbys: 1 }));
    for (const task of orphans) {
      const holder = [...result.assignments].find(([, { standbyTasks }]) => standbyTasks.includes(task));
      expect(after.get(task)).toBe(holder?.[0]);
    }
  });

  it('brings at least four of five tasks to a disk that has their state, over a rolling restart', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 2, max: 12 }), (subs, partitions) => {
        const ids = ['a', 'b', 'c'];
        const tasks = taskList(subs, partitions);
        const start = settled(fresh(ids), ids, tasks, { standbys: 1 });
        const { disks } = start;
        let members = start.members;
        let active = activeOf(start.result);
        let moves = 0;
        let movesToState = 0;
        const step = (present: readonly JoinedMember[], names: readonly string[]) => {
          let result = assign(present, tasks, { standbys: 1 });
          for (;;) {
            for (const [task, memberId] of activeOf(result)) {
              if (active.get(task) === memberId) continue;
              moves += 1;
              if (disks.get(memberId.slice(2))?.has(task) === true) movesToState += 1;
            }
            active = new Map([...active, ...activeOf(result)]);
            members = settle(result, names, disks);
            if (!result.isProvisional) return;
            result = assign(members, tasks, { standbys: 1 });
          }
        };
        for (const id of ids) {
          const others = ids.filter((other) => other !== id);
          step(
            members.filter(({ memberId }) => memberId !== `m-${id}`),
            others,
          );
          const positions = Object.fromEntries([...(disks.get(id) ?? [])].map((task) => [task, end - 50]));
          step([...members, member(`m-${id}`, claims(id, { positions }))], ids);
        }
        expect(movesToState).toBeGreaterThanOrEqual(moves * 0.8);
      }),
      { numRuns: 25 },
    );
  });

  it('leaves a task where its state is until the member it belongs to has caught up, and warms up a few at a time', () => {
    const tasks = taskList(1, 8);
    const old = claims('old', { ownedTasks: tasks });
    const first = assign([member('m-old', old), member('m-new', claims('new'))], tasks);
    expect(first).toMatchObject({ isProvisional: false, misplacedCount: 4 });
    expect(first.assignments.get('m-old')?.tasks).toHaveLength(8);
    const { warmUpTasks = [], standbyTasks } = first.assignments.get('m-new') ?? {};
    expect(warmUpTasks).toHaveLength(2);
    expect(standbyTasks).toEqual(warmUpTasks);

    const warm = (position: number) =>
      claims('new', {
        standbyTasks: warmUpTasks,
        positions: Object.fromEntries(warmUpTasks.map((task) => [task, position])),
      });
    const stillCold = assign([member('m-old', old), member('m-new', warm(end - 101))], tasks);
    expect(stillCold.assignments.get('m-new')?.warmUpTasks).toEqual(warmUpTasks);
    expect(stillCold.isProvisional).toBe(false);

    const caughtUp = assign([member('m-old', old), member('m-new', warm(end - 100))], tasks);
    expect(caughtUp).toMatchObject({ isProvisional: true, misplacedCount: 2 });
    const kept = caughtUp.assignments.get('m-old')?.tasks ?? [];
    expect(tasks.filter((task) => !kept.includes(task))).toEqual([...warmUpTasks].sort());
    // Kept warm while the old owner lets go, beside the next ones.
    expect(caughtUp.assignments.get('m-new')?.standbyTasks).toEqual(expect.arrayContaining([...warmUpTasks]));
    expect(caughtUp.assignments.get('m-new')?.warmUpTasks).toHaveLength(2);

    const next = assign(
      [member('m-old', claims('old', { ownedTasks: kept })), member('m-new', warm(end - 100))],
      tasks,
    );
    expect(next.assignments.get('m-new')?.tasks).toEqual([...warmUpTasks].sort());
  });

  it('decides by the most complete claim when the ends of changelogs are not known', () => {
    const { assignments } = assignTasks({
      members: [
        member('m1', claims('i1', { positions: { '0_0': 500 } })),
        member('m2', claims('i2', { positions: { '0_0': 900 } })),
      ],
      tasks: [{ id: '0_0', isStateful: true, end: undefined }],
      fingerprint: 'f',
      limits,
      previous: [],
      dead: [],
    });
    expect(assignments.get('m2')?.tasks).toEqual(['0_0']);
  });

  it('has neither standbys nor warm-ups for tasks without state', () => {
    const { assignments, misplacedCount } = assignTasks({
      members: fresh(['a', 'b']),
      tasks: taskList(1, 4).map((id) => ({ id, isStateful: false, end: undefined })),
      fingerprint: 'f',
      limits: { ...limits, standbys: 1 },
      previous: [],
      dead: [],
    });
    expect(misplacedCount).toBe(0);
    for (const { tasks, standbyTasks, warmUpTasks } of assignments.values()) {
      expect(tasks).toHaveLength(2);
      expect([...standbyTasks, ...warmUpTasks]).toEqual([]);
    }
  });
});
