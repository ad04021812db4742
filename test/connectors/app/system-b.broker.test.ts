import { expect, test } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { kafkaLog } from '../../../connectors/kafka/kafka-log.ts';
import type { Log } from '../../../connectors/log.ts';
import { until } from '../../support/cluster.ts';
import { createPollTopics, eventsOfB, pollerOfB } from '../../support/customer/polled-b.ts';
import { SystemBServer, customerOfB } from '../../support/customer/system-b-server.ts';
import { describeKafka } from '../../support/kafka.ts';

describeKafka('the poller of system B on Kafka', (brokers) => {
  const client = (clientId: string): Log =>
    kafkaLog({ clientId, brokers }, { clock: systemClock, random: systemRandom, logger: silentLogger });

  test('of two pollers one polls, the other takes over when it dies, and every change is told once', async () => {
    const prefix = `poll-${systemRandom.uuid().slice(0, 8)}.`;
    const server = new SystemBServer();
    await server.start();
    for (let index = 0; index < 700; index += 1) server.put(customerOfB(index));
    const log = client('reader');
    await createPollTopics(log, prefix);
    const logs = [client('one'), client('two')];
    const pollers = logs.map((each) =>
      pollerOfB({ log: each, url: server.url, prefix, intervalMs: 100, sessionTimeoutMs: 6_000 }),
    );
    for (const poller of pollers) poller.start();
    await until('all are told', async () => (await eventsOfB(log, prefix)).length === 700, 60_000);

    const index = pollers.findIndex(({ counts }) => counts.isPolling);
    await logs[index]!.close();
    server.put(customerOfB(3, 5, { name: 'Changed' }));
    const survivor = pollers[1 - index]!;
    await until('the other one polls', () => survivor.counts.polls > 2, 60_000);
    await until('the change is told', async () => (await eventsOfB(log, prefix)).length === 701, 60_000);
    const events = await eventsOfB(log, prefix);
    expect(new Set(events.map(({ eventId }) => eventId)).size).toBe(701);
    await Promise.all(pollers.map((poller) => poller.close()));
    await Promise.all([logs[1 - index]!.close(), log.close(), server.stop()]);
  });
});
