import { expect, test } from '@jest/globals';
import type { GroupMetadata } from '../../../connectors/log.ts';
import { Probe } from './probe.ts';
import { batchOf, eventually, partition, refusal, retrying, unique, type LogFixture } from './log-fixture.ts';

/** Of a group without members. */
function outsider(groupId: string): GroupMetadata {
  return { groupId, memberId: '', generation: -1 };
}

const anyway = { requireStable: false };
const stable = { requireStable: true };

export function offsetTests(fixture: LogFixture): void {
  test('what was never committed is undefined', async () => {
    const at = partition(await fixture.topic());
    expect(await fixture.log.admin.committed(unique('group'), [at], stable)).toEqual([undefined]);
  });

  test('a tool commits for a group without members, with metadata', async () => {
    const { admin } = fixture.log;
    const topic = await fixture.topic({ partitions: 3 });
    const groupId = unique('group');
    await admin.commitForEmptyGroup(groupId, [
      { ...partition(topic, 0), offset: 7, metadata: 'why' },
      { ...partition(topic, 2), offset: 9 },
    ]);
    const all = [0, 1, 2].map((number) => partition(topic, number));
    expect(await admin.committed(groupId, all, stable)).toEqual([
      { offset: 7, metadata: 'why' },
      undefined,
      { offset: 9, metadata: '' },
    ]);
    await admin.commitForEmptyGroup(groupId, [{ ...partition(topic, 0), offset: 3 }]);
    expect((await admin.committed(groupId, all, stable))[0]).toEqual({ offset: 3, metadata: '' });
  });

  test('a tool is refused while the group has members', async () => {
    const at = partition(await fixture.topic());
    const groupId = unique('group');
    const probe = new Probe('a');
    fixture.member({ groupId }, probe).start();
    await probe.joined(1);
    const commit = fixture.log.admin.commitForEmptyGroup(groupId, [{ ...at, offset: 1 }]);
    expect(await refusal(commit)).toBe('LOG_REFUSED');
  });

  test('a member commits in its generation', async () => {
    const at = partition(await fixture.topic());
    const groupId = unique('group');
    const probe = new Probe('a');
    const member = fixture.member({ groupId }, probe);
    expect(await refusal(member.commit([{ ...at, offset: 1 }]))).toBe('MEMBER_FENCED');
    member.start();
    await probe.joined(1);
    await member.commit([{ ...at, offset: 5, metadata: 'm' }]);
    const other = await fixture.another();
    expect(await other.admin.committed(groupId, [at], stable)).toEqual([{ offset: 5, metadata: 'm' }]);
  });

  test('offsets in a transaction are committed with it, and unstable until then', async () => {
    const { admin } = fixture.log;
    const [input, output] = [partition(await fixture.topic()), partition(await fixture.topic())];
    const elsewhere = partition(await fixture.topic());
    const groupId = unique('group');
    await admin.commitForEmptyGroup(groupId, [
      { ...input, offset: 1 },
      { ...elsewhere, offset: 8 },
    ]);
    const producer = await fixture.transaction();
    await producer.send([batchOf(output, ['a'])]);
    await producer.sendOffsets([{ ...input, offset: 2, metadata: 'm' }], outsider(groupId));

    expect(await admin.committed(groupId, [input], anyway)).toEqual([{ offset: 1, metadata: '' }]);
    expect(await refusal(admin.committed(groupId, [input], stable))).toBe('OFFSETS_UNSTABLE');
    expect(await admin.committed(groupId, [elsewhere], stable)).toEqual([{ offset: 8, metadata: '' }]);
    expect(await fixture.values(output)).toEqual([]);

    await producer.commit();
    const committed = await retrying('OFFSETS_UNSTABLE', () => admin.committed(groupId, [input], stable));
    expect(committed).toEqual([{ offset: 2, metadata: 'm' }]);
    await fixture.settled(output);
    expect(await fixture.values(output)).toEqual(['a']);
  });

  test('offsets in an aborted transaction are not committed', async () => {
    const { admin } = fixture.log;
    const at = partition(await fixture.topic());
    const groupId = unique('group');
    await admin.commitForEmptyGroup(groupId, [{ ...at, offset: 1 }]);
    const producer = await fixture.transaction();
    await producer.sendOffsets([{ ...at, offset: 2 }], outsider(groupId));
    await producer.abort();
    const committed = await retrying('OFFSETS_UNSTABLE', () => admin.committed(groupId, [at], stable));
    expect(committed).toEqual([{ offset: 1, metadata: '' }]);
  });

  test('a transaction may hold nothing but offsets, and the last ones count', async () => {
    const { admin } = fixture.log;
    const at = partition(await fixture.topic());
    const groupId = unique('group');
    const producer = await fixture.producer({ transactionalId: unique('txn') });
    for (let offset = 1; offset <= 5; offset++) {
      producer.begin();
      await producer.sendOffsets([{ ...at, offset: offset * 10 - 5 }], outsider(groupId));
      await producer.sendOffsets([{ ...at, offset: offset * 10 }], outsider(groupId));
      await producer.commit();
    }
    const committed = await retrying('OFFSETS_UNSTABLE', () => admin.committed(groupId, [at], stable));
    expect(committed[0]?.offset).toBe(50);
  });

  test('a new producer of the transactional id settles pending offsets', async () => {
    const { admin } = fixture.log;
    const at = partition(await fixture.topic());
    const groupId = unique('group');
    const transactionalId = unique('txn');
    const producer = await fixture.transaction({ transactionalId });
    await producer.sendOffsets([{ ...at, offset: 2 }], outsider(groupId));
    expect(await refusal(admin.committed(groupId, [at], stable))).toBe('OFFSETS_UNSTABLE');
    await fixture.producer({ transactionalId });
    const committed = await retrying('OFFSETS_UNSTABLE', () => admin.committed(groupId, [at], stable));
    expect(committed).toEqual([undefined]);
  });

  test('in a transaction, a member of the current generation commits; a stale one or a stranger does not', async () => {
    const at = partition(await fixture.topic());
    const groupId = unique('group');
    const probe = new Probe('a');
    const member = fixture.member({ groupId }, probe);
    member.start();
    await probe.joined(1);
    const current = member.current!;
    const commitAs = async (group: GroupMetadata): Promise<void> => {
      const producer = await fixture.transaction();
      await producer.sendOffsets([{ ...at, offset: 3 }], group);
      await producer.commit();
    };
    await commitAs(current);
    expect(await refusal(commitAs({ ...current, memberId: 'stranger' }))).toBe('MEMBER_FENCED');
    expect(await refusal(commitAs({ ...current, generation: current.generation - 1 }))).toBe('MEMBER_FENCED');

    member.rejoin('test');
    await eventually('a new generation', () => (member.current?.generation ?? 0) > current.generation);
    expect(await refusal(commitAs(current))).toBe('MEMBER_FENCED');
    await commitAs(member.current!);
  });

  test('a member that left is fenced', async () => {
    const at = partition(await fixture.topic());
    const groupId = unique('group');
    const probe = new Probe('a');
    const member = fixture.member({ groupId }, probe);
    member.start();
    await probe.joined(1);
    const former = member.current!;
    await member.leave();
    expect(await refusal(member.commit([{ ...at, offset: 1 }]))).toBe('MEMBER_FENCED');
    const producer = await fixture.transaction();
    expect(await refusal(producer.sendOffsets([{ ...at, offset: 1 }], former))).toBe('MEMBER_FENCED');
    expect(await fixture.log.admin.committed(groupId, [at], anyway)).toEqual([undefined]);
  });

  test('a fenced producer commits no offsets', async () => {
    const at = partition(await fixture.topic());
    const groupId = unique('group');
    const transactionalId = unique('txn');
    const old = await fixture.transaction({ transactionalId });
    await fixture.producer({ transactionalId });
    expect(await refusal(old.sendOffsets([{ ...at, offset: 1 }], outsider(groupId)))).toBe('PRODUCER_FENCED');
  });
}
