import { expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import { memoryLog } from '../../connectors/embedded/embedded-log.ts';
import { assignShards, decodeShards, encodeShards } from '../../connectors/shard-assignment.ts';
import { SharedWork } from '../../connectors/shared-work.ts';
import { until } from '../support/cluster.ts';

// Longer than any wait within: what is waited for in vain is named.
jest.setTimeout(240_000);

const shards = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 4 }), { maxLength: 12 });
const members = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 5 });

test('every shard goes to exactly one member, as evenly as can be, whatever members claim', () => {
  fc.assert(
    fc.property(shards, members, fc.array(shards, { maxLength: 5 }), (all, ids, claimed) => {
      const assigned = assignShards(
        all,
        ids.map((memberId, index) => ({ memberId, shards: claimed[index] ?? [] })),
      );
      const lists = [...assigned.values()];
      expect(lists.flat().sort()).toEqual([...all].sort());
      const sizes = lists.map((list) => list.length);
      expect(Math.max(...sizes)).toBeLessThanOrEqual(Math.ceil(all.length / ids.length));
    }),
  );
});

test('members keep what they had when nobody comes or goes', () => {
  fc.assert(
    fc.property(shards, members, (all, ids) => {
      const first = assignShards(
        all,
        ids.map((memberId) => ({ memberId, shards: [] })),
      );
      const again = assignShards(
        all,
        ids.map((memberId) => ({ memberId, shards: first.get(memberId) ?? [] })),
      );
      expect([...again].map(([id, list]) => [id, [...list].sort()])).toEqual(
        [...first].map(([id, list]) => [id, [...list].sort()]),
      );
    }),
  );
});

test('a member that speaks another language gets nothing', () => {
  const claims = [
    { memberId: 'a', shards: decodeShards(Buffer.from('who knows')) },
    { memberId: 'b', shards: decodeShards(encodeShards(['x'])) },
  ];
  expect(Object.fromEntries(assignShards(['x', 'y'], claims))).toEqual({ a: [], b: ['x', 'y'] });
});

test('work that fails starts again, and never runs twice at once while members come and go', async () => {
  const log = memoryLog({ clock: systemClock, random: systemRandom, logger: silentLogger });
  const running = new Map<string, number>();
  const started = new Map<string, number>();
  let most = 0;
  let failures = 2;
  const work = (): SharedWork =>
    new SharedWork({
      log,
      clock: systemClock,
      logger: silentLogger,
      groupId: 'work',
      topics: [],
      shards: ['x', 'y', 'z'],
      sessionTimeoutMs: 3_000,
      heartbeatIntervalMs: 50,
      run: async (shard, signal) => {
        started.set(shard, (started.get(shard) ?? 0) + 1);
        if (shard === 'x' && failures-- > 0) throw new Error('not yet');
        const count = (running.get(shard) ?? 0) + 1;
        running.set(shard, count);
        most = Math.max(most, count);
        await systemClock.sleep(60_000, signal);
        running.set(shard, (running.get(shard) ?? 0) - 1);
      },
    });
  const one = work();
  one.start();
  await until('all run', () => one.owned.length === 3 && (running.get('x') ?? 0) === 1, 60_000);
  expect(started.get('x')).toBe(3);
  const two = work();
  two.start();
  await until('they share', () => one.owned.length === 2 && two.owned.length === 1, 60_000);
  await one.close();
  await until('the other does all', () => two.owned.length === 3, 60_000);
  await two.close();
  expect([...running.values()]).toEqual([0, 0, 0]);
  expect(most).toBe(1);
  await log.close();
});
