import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { memoryLog, type EmbeddedLog } from '../../../connectors/embedded/embedded-log.ts';
import type { Fetch } from '../../../connectors/http-source.ts';
import type { Poller } from '../../../connectors/poller.ts';
import { followSources, type SourceStatuses } from '../../../connectors/source-status.ts';
import { connectorTopics } from '../../../schemas/app/connector-topics.ts';
import { until } from '../../support/cluster.ts';
import { createPollTopics, eventsOfB, pollerOfB, type PolledBOptions } from '../../support/customer/polled-b.ts';
import { SystemBServer, customerOfB } from '../../support/customer/system-b-server.ts';

// Longer than any wait within: what is waited for in vain is named.
jest.setTimeout(240_000);

let log: EmbeddedLog;
let server: SystemBServer;
let pollers: Poller[];

beforeEach(async () => {
  log = memoryLog({ clock: systemClock, random: systemRandom, logger: silentLogger });
  server = new SystemBServer();
  pollers = [];
  await server.start();
  await createPollTopics(log);
});

afterEach(async () => {
  await Promise.all(pollers.map((poller) => poller.close()));
  await server.stop();
  await log.close();
});

function start(options: Partial<PolledBOptions> = {}): Poller {
  const poller = pollerOfB({ log, url: server.url, ...options });
  pollers.push(poller);
  poller.start();
  return poller;
}

/** Until the poller has made so many more complete polls. */
async function polled(poller: Poller, count = 2): Promise<void> {
  const before = poller.counts.polls;
  await until('the source was polled', () => poller.counts.polls >= before + count, 60_000);
}

const shown = async (): Promise<readonly string[]> =>
  (await eventsOfB(log)).map(({ operation, op, payload }) => `${operation}${op ?? ''} ${payload['email'] ?? '?'}`);

const update = (index: number, minute: number): void =>
  server.put(customerOfB(index, minute, { name: `Changed ${String(minute)}` }));

describe('the poller of system B', () => {
  test('tells everything as snapshots at first, page by page, then only what changed', async () => {
    for (let index = 0; index < 1_200; index += 1) server.put(customerOfB(index));
    const poller = start();
    await until('all are told', async () => (await eventsOfB(log)).length === 1_200, 60_000);
    expect(new Set((await eventsOfB(log)).map(({ op }) => op))).toEqual(new Set(['r']));
    expect(server.asked.slice(0, 3).map(({ updatedSince, cursor }) => [updatedSince, cursor !== undefined])).toEqual([
      [undefined, false],
      [undefined, true],
      [undefined, true],
    ]);

    update(7, 1);
    server.put(customerOfB(5_000, 2));
    await until('the changes are told', async () => (await eventsOfB(log)).length === 1_202, 60_000);
    await polled(poller);
    expect((await shown()).filter((line) => !line.includes('UPDATEr')).sort()).toEqual([
      'CREATE user5000@example.com',
      'UPDATE user7@example.com',
    ]);
  });

  test('does not tell again after a restart what it has told', async () => {
    server.put(customerOfB(1));
    const first = start();
    await until('it is told', async () => (await eventsOfB(log)).length === 1, 60_000);
    await first.close();
    const asked = server.asked.length;
    const second = start();
    await polled(second);
    expect(await eventsOfB(log)).toHaveLength(1);
    expect(server.asked.slice(asked).every(({ updatedSince }) => updatedSince !== undefined)).toBe(true);
  });

  test('finds updates that appear late, with the instant of others or an earlier one', async () => {
    server.put(customerOfB(1, 10));
    const poller = start();
    await polled(poller);
    // Committed after the poll, though their instants are not later.
    server.put(customerOfB(2, 10));
    server.put(customerOfB(3, 8));
    await until('they are told', async () => (await eventsOfB(log)).length === 3, 60_000);
    await polled(poller);
    expect(await shown()).toHaveLength(3);
  });

  test('gives the same change the same id, and another change another', async () => {
    server.put(customerOfB(1));
    const first = start();
    await until('it is told', async () => (await eventsOfB(log)).length === 1, 60_000);
    await first.close();
    const [before] = await eventsOfB(log);

    const other = memoryLog({ clock: systemClock, random: systemRandom, logger: silentLogger });
    await createPollTopics(other);
    const second = start({ log: other });
    await until('it is told again elsewhere', async () => (await eventsOfB(other)).length === 1, 60_000);
    update(1, 1);
    await until('the change is told', async () => (await eventsOfB(other)).length === 2, 60_000);
    await second.close();
    const [again, changed] = await eventsOfB(other);
    await other.close();
    expect(again?.eventId).toBe(before?.eventId);
    expect(changed?.eventId).not.toBe(before?.eventId);
  });

  test('says which address a customer had before', async () => {
    server.put(customerOfB(1));
    start();
    await until('it is told', async () => (await eventsOfB(log)).length === 1, 60_000);
    server.put(customerOfB(1, 1, { email: 'new@example.com' }));
    await until('the move is told', async () => (await eventsOfB(log)).length === 2, 60_000);
    const moved = (await eventsOfB(log)).find(({ payload }) => payload['email'] === 'new@example.com');
    expect(moved?.before).toEqual({ email: 'user1@example.com' });
  });

  test('tells a deletion after two complete scans without the customer, however many failed between them', async () => {
    server.put(customerOfB(1));
    server.put(customerOfB(2));
    const poller = start({ scanIntervalMs: 0 });
    await polled(poller, 3);
    const scans = (): number =>
      server.asked.filter(({ updatedSince, status }) => updatedSince === undefined && status === 200).length;
    const before = scans();
    let isFailing = true;
    // Polls go through, scans do not.
    server.onRequest = ({ updatedSince }) => {
      if (isFailing && updatedSince === undefined) server.refusals.push({ status: 500 });
    };
    server.customers.delete(customerOfB(1).uuid);
    const errors = poller.counts.errors;
    await until('two scans have failed', () => poller.counts.errors >= errors + 2, 60_000);
    expect(await eventsOfB(log)).toHaveLength(2);
    isFailing = false;
    await until('it is gone', async () => (await eventsOfB(log)).length === 3, 60_000);
    expect(scans() - before).toBeGreaterThanOrEqual(2);
    const deletion = (await eventsOfB(log)).find(({ operation }) => operation === 'DELETE');
    expect(deletion?.payload).toEqual({ uuid: customerOfB(1).uuid, email: 'user1@example.com' });
    await polled(poller);
    expect(await eventsOfB(log)).toHaveLength(3);
  });

  test('does not believe a scan that misses most customers', async () => {
    for (let index = 0; index < 100; index += 1) server.put(customerOfB(index));
    const poller = start({ scanIntervalMs: 0 });
    await polled(poller, 2);
    server.customers.clear();
    await until('scans were refused', () => poller.counts.errors >= 3, 60_000);
    expect(await eventsOfB(log)).toHaveLength(100);
  });

  test('deletes nobody while the system is away, says so, and goes on when it is back', async () => {
    server.put(customerOfB(1));
    const statuses: SourceStatuses = followSources({
      log,
      clock: systemClock,
      logger: silentLogger,
      topic: connectorTopics().status.name,
    });
    statuses.start();
    try {
      const poller = start({ scanIntervalMs: 0 });
      await until('it is up', () => statuses.health()[0]?.isUp === true, 60_000);
      server.isAway = true;
      await until('it is down', () => statuses.health()[0]?.isUp === false, 60_000);
      await until('it stays down', () => poller.counts.errors >= 8, 60_000);
      expect(statuses.health()[0]).toMatchObject({ source: 'system-b', code: 'DEPENDENCY_UNAVAILABLE' });
      expect(await shown()).toEqual(['UPDATEr user1@example.com']);
      update(1, 1);
      server.isAway = false;
      await until('it is up again', () => statuses.health()[0]?.isUp === true, 60_000);
      await until('the change is told', async () => (await eventsOfB(log)).length === 2, 60_000);
    } finally {
      await statuses.close();
    }
  });

  test('waits as long as a busy system asks, and tries again after an error', async () => {
    server.put(customerOfB(1));
    server.refusals.push({ status: 429, retryAfter: '1' }, { status: 502 });
    const askedMs: number[] = [];
    server.onRequest = () => void askedMs.push(systemClock.monotonicMs());
    const poller = start({ retries: 3 });
    await until('it is told', async () => (await eventsOfB(log)).length === 1, 60_000);
    expect(askedMs[1]! - askedMs[0]!).toBeGreaterThanOrEqual(990);
    expect(poller.counts.errors).toBe(0);
  });

  test('leaves a system alone that fails again and again', async () => {
    server.isAway = true;
    const poller = start({ openMs: 60_000 });
    await until('it was polled often', () => poller.counts.errors >= 12, 60_000);
    expect(server.asked).toHaveLength(5);
  });

  test('asks by tag, so that a system without news answers without content', async () => {
    server.put(customerOfB(1));
    const poller = start();
    await polled(poller, 5);
    expect(server.asked.slice(2).map(({ status }) => status)).toContain(304);
    update(1, 1);
    await until('the change is told', async () => (await eventsOfB(log)).length === 2, 60_000);
  });

  test('goes on in the middle of the first poll where a process died', async () => {
    for (let index = 0; index < 1_200; index += 1) server.put(customerOfB(index));
    let isHanging = true;
    const stuck: Fetch = async (url, init) => {
      if (!isHanging || !url.includes('cursor')) return await fetch(url, init);
      await new Promise((resolve) => init.signal.addEventListener('abort', resolve));
      throw new Error('never answered');
    };
    const dying = log.client();
    const first = start({ log: dying, fetch: stuck });
    await until('the first page is told', async () => (await eventsOfB(log)).length === 500, 60_000);
    await dying.close();
    isHanging = false;
    start();
    await until('the rest is told', async () => (await eventsOfB(log)).length === 1_200, 60_000);
    expect(
      server.asked.filter(({ cursor, updatedSince }) => cursor === undefined && updatedSince === undefined),
    ).toHaveLength(1);
    expect(new Set((await shown()).map((line) => line)).size).toBe(1_200);
    await first.close().catch(() => undefined);
    pollers = pollers.filter((poller) => poller !== first);
  });

  test('of several processes one polls, and another takes over when it dies', async () => {
    server.put(customerOfB(1));
    const clients = [log.client(), log.client(), log.client()];
    const three = clients.map((client) => start({ log: client }));
    await until('one polls', () => three.some(({ counts }) => counts.polls > 3), 60_000);
    await until('only one', () => three.filter(({ counts }) => counts.isPolling).length === 1, 60_000);
    const index = three.findIndex(({ counts }) => counts.isPolling);
    const dead = three[index]!;
    await clients[index]!.close();
    update(1, 1);
    const others = three.filter((poller) => poller !== dead);
    await until('another one polls', () => others.some(({ counts }) => counts.polls > 3), 60_000);
    await until('the change is told', async () => (await eventsOfB(log)).length === 2, 60_000);
    update(1, 2);
    await until('the next change is told', async () => (await eventsOfB(log)).length === 3, 60_000);
    expect(others.filter(({ counts }) => counts.isPolling)).toHaveLength(1);
    await dead.close();
    pollers = others;
  });
});
