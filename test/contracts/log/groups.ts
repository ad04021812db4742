import { expect, test } from '@jest/globals';
import { systemClock } from '../../../clock.ts';
import type { GroupOptions, Log, Member } from '../../../connectors/log.ts';
import { eventually, unique, type LogFixture } from './log-fixture.ts';
import { Probe } from './probe.ts';

interface Started {
  readonly probe: Probe;
  readonly member: Member;
}

export function groupTests(fixture: LogFixture): void {
  function start(userData: string, options: Partial<GroupOptions> & { groupId: string }, log?: Log): Started {
    const probe = new Probe(userData);
    const member = fixture.member(options, probe, log);
    member.start();
    return { probe, member };
  }

  test('a single member leads, sees itself, and gets what it assigns', async () => {
    const groupId = unique('group');
    const { probe, member } = start('a', { groupId, topics: ['one', 'two'] });
    const assignment = await probe.joined(1);
    expect(assignment).toEqual({
      memberId: expect.any(String),
      generation: expect.any(Number),
      isLeader: true,
      text: 'for a',
    });
    expect(assignment.generation).toBeGreaterThan(0);
    expect(probe.groups[0]![0]).toMatchObject({ memberId: assignment.memberId, topics: ['one', 'two'] });
    expect(probe.groups[0]![0]).not.toHaveProperty('instanceId');
    const { memberId, generation } = assignment;
    expect(member.current).toEqual({ groupId, memberId, generation });
    expect(probe.joinings).toBeGreaterThan(0);
    expect(probe.losses).toEqual([]);
  });

  test('a member is none before it has joined and after it has left', async () => {
    const groupId = unique('group');
    const probe = new Probe('a');
    const member = fixture.member({ groupId }, probe);
    expect(member.current).toBeUndefined();
    member.start();
    await probe.joined(1);
    await member.leave();
    expect(member.current).toBeUndefined();
    await member.leave();
  });

  test('a second member makes both join again, with user data both ways', async () => {
    const groupId = unique('group');
    const a = start('a', { groupId });
    const first = await a.probe.joined(1);
    a.probe.userData = 'a again';
    const b = start('b', { groupId }, await fixture.another());
    await together(a, b);
    expect(a.probe.last!.generation).toBeGreaterThan(first.generation);
    expect(a.probe.last!.memberId).toBe(first.memberId);
    expect(a.probe.last!.text).toBe('for a again');
    expect(b.probe.last!.text).toBe('for b');
    expect([a, b].filter(({ probe }) => probe.last!.isLeader)).toHaveLength(1);
    const leader = a.probe.last!.isLeader ? a : b;
    expect(leader.probe.groupData).toEqual(['a again', 'b']);
    expect([a.probe.losses, b.probe.losses, a.probe.overlapped, b.probe.overlapped]).toEqual([[], [], false, false]);
  });

  test('groups do not concern each other', async () => {
    const a = start('a', { groupId: unique('group') });
    const b = start('b', { groupId: unique('group') });
    await a.probe.joined(1);
    await b.probe.joined(1);
    expect([a.probe.groupData, b.probe.groupData]).toEqual([['a'], ['b']]);
  });

  test('when a member leaves, the rest is assigned anew', async () => {
    const groupId = unique('group');
    const a = start('a', { groupId });
    await a.probe.joined(1);
    const b = start('b', { groupId }, await fixture.another());
    await together(a, b);
    const { generation } = a.probe.last!;
    await a.member.leave();
    await eventually('b is alone', () => b.probe.groupData.join() === 'b' && b.probe.last!.generation > generation);
    expect(b.probe.losses).toEqual([]);
  });

  test('a member whose process dies is expelled after its session timeout', async () => {
    const groupId = unique('group');
    const doomed = await fixture.another();
    const a = start('a', { groupId }, doomed);
    await a.probe.joined(1);
    const b = start('b', { groupId });
    await together(a, b);
    const diedMs = systemClock.monotonicMs();
    await doomed.close();
    await eventually('b is alone', () => b.probe.groupData.join() === 'b');
    expect(systemClock.monotonicMs() - diedMs).toBeGreaterThan(1000);
    expect(b.probe.losses).toEqual([]);
  });

  test.each(['leader', 'follower'])('the %s can ask for a rebalance', async (role) => {
    const groupId = unique('group');
    const a = start('a', { groupId });
    await a.probe.joined(1);
    const b = start('b', { groupId });
    await together(a, b);
    const before = a.probe.last!.generation;
    const isLeader = role === 'leader';
    const asking = a.probe.last!.isLeader === isLeader ? a : b;
    asking.member.rejoin('test');
    await eventually('there is a new generation', () => isTogether(a, b) && a.probe.last!.generation > before);
    expect([a.probe.losses, b.probe.losses]).toEqual([[], []]);
  });

  test('a rebalance that is asked for while one is under way follows it', async () => {
    const groupId = unique('group');
    const a = start('a', { groupId });
    let isAsked = false;
    a.probe.onAssigned = async () => {
      if (!isAsked) a.member.rejoin('test');
      isAsked = true;
    };
    await a.probe.joined(2);
    expect(a.probe.last!.generation).toBeGreaterThan(a.probe.assignments[0]!.generation);
  });

  test('heartbeats go on while the owner is busy with an assignment', async () => {
    const groupId = unique('group');
    const a = start('a', { groupId });
    a.probe.onAssigned = () => systemClock.sleep(2500);
    await a.probe.joined(1);
    const b = start('b', { groupId });
    await together(a, b);
    expect(a.probe.losses).toEqual([]);
    expect(a.probe.last!.memberId).toBe(a.probe.assignments[0]!.memberId);
  });

  test('the group waits for a member that is busy before it joins, and heartbeats go on', async () => {
    const groupId = unique('group');
    const a = start('a', { groupId });
    await a.probe.joined(1);
    a.probe.onJoining = () => systemClock.sleep(2500);
    const b = start('b', { groupId });
    await together(a, b);
    expect([a.probe.losses, b.probe.losses]).toEqual([[], []]);
    expect(b.probe.assignments.every(({ generation }) => generation === b.probe.last!.generation)).toBe(true);
  });

  test('a member that does not join in time is out, is told, and joins again', async () => {
    const groupId = unique('group');
    const a = start('a', { groupId, rebalanceTimeoutMs: 1500 });
    const { memberId } = await a.probe.joined(1);
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    a.probe.onJoining = () => gate;
    const b = start('b', { groupId, rebalanceTimeoutMs: 1500 });
    await eventually('b is alone', () => b.probe.groupData.join() === 'b' && b.probe.assignments.length > 0);
    release();
    a.probe.onJoining = () => Promise.resolve();
    await eventually('a is back', () => a.probe.losses.length > 0 && isTogether(a, b));
    expect(a.probe.losses[0]!.code).toBe('MEMBER_FENCED');
    expect(a.probe.last!.memberId).not.toBe(memberId);
    expect(a.probe.overlapped).toBe(false);
  });

  test('a member that is assigned nothing gets no bytes', async () => {
    const groupId = unique('group');
    const a = start('a', { groupId });
    a.probe.assign = () => Promise.resolve(new Map());
    expect((await a.probe.joined(1)).text).toBe('');
  });

  test('leaving while joining ends it', async () => {
    const groupId = unique('group');
    const probe = new Probe('a');
    const member = fixture.member({ groupId }, probe);
    // Set before it starts: it may ask at once.
    probe.onJoining = () => member.leave();
    member.start();
    await eventually('it tried to join', () => probe.joinings > 0);
    const b = start('b', { groupId });
    await b.probe.joined(1);
    await eventually('b is alone', () => b.probe.groupData.join() === 'b');
    expect(probe.assignments).toEqual([]);
    expect(member.current).toBeUndefined();
  });

  test('a static member returns to its place without a rebalance, unless it left for good', async () => {
    const groupId = unique('group');
    const options = { groupId, sessionTimeoutMs: 10_000 };
    const a = start('a', options);
    await a.probe.joined(1);
    const b = start('b', { ...options, instanceId: 'instance-b' });
    await together(a, b);
    const { generation } = b.probe.last!;
    const leader = a.probe.last!.isLeader ? a : b;
    expect(
      leader.probe.groups
        .at(-1)!
        .map(({ instanceId }) => instanceId)
        .sort(),
    ).toEqual(['instance-b', undefined]);

    await b.member.leave();
    const returned = start('b', { ...options, instanceId: 'instance-b' });
    expect(await returned.probe.joined(1)).toMatchObject({ generation, text: 'for b' });
    expect(returned.member.current).toMatchObject({ generation, instanceId: 'instance-b' });
    expect(a.probe.last!.generation).toBe(generation);

    await returned.member.leave({ permanently: true });
    await eventually('a is alone', () => a.probe.groupData.join() === 'a' && a.probe.last!.generation > generation);
  });

  test('a second member of one instance id takes over; the first one is told and stops', async () => {
    const groupId = unique('group');
    const a = start('a', { groupId, instanceId: 'same' });
    await a.probe.joined(1);
    const b = start('b', { groupId, instanceId: 'same' }, await fixture.another());
    await b.probe.joined(1);
    await eventually('a knows', () => a.probe.losses.length > 0);
    expect(a.probe.losses.map(({ code }) => code)).toEqual(['INSTANCE_ID_TAKEN']);
    expect(a.member.current).toBeUndefined();
    expect(b.probe.losses).toEqual([]);
  });
}

/** Whether both have the assignment of one and the same generation. */
function isTogether(a: Started, b: Started): boolean {
  const [left, right] = [a.member.current, b.member.current];
  return (
    left !== undefined &&
    left.generation === right?.generation &&
    a.probe.last?.generation === left.generation &&
    b.probe.last?.generation === left.generation
  );
}

async function together(a: Started, b: Started): Promise<void> {
  await eventually('both are in one generation', () => isTogether(a, b));
}
