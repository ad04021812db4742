import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import { memoryLog, type EmbeddedLog } from '../../connectors/embedded/embedded-log.ts';
import { openBacklog } from '../../program/backlog.ts';
import { stringSerde } from '../../schemas/serde.ts';
import { defineTopic } from '../../schemas/topic.ts';
import { produce, until } from '../support/cluster.ts';

const words = defineTopic({ name: 'words', key: stringSerde, value: stringSerde });
const waitMs = 60_000;

let log: EmbeddedLog;
beforeEach(async () => {
  log = memoryLog({ clock: systemClock, random: systemRandom });
  await log.admin.createTopics([{ name: 'words', partitions: 2 }]);
});
afterEach(() => log.close());

function opened(max: number) {
  const inputs = new Map([['counting', ['words']]]);
  return openBacklog({ log, clock: systemClock, logger: silentLogger, inputs, max });
}

async function write(count: number): Promise<void> {
  const records = Array.from({ length: count }, (_, index) => ({
    key: `k${String(index)}`,
    value: 'v',
    timestampMs: 1,
  }));
  await produce(log, words, records);
}

test('is too long while more waits than there may, and not any more once it was worked off', async () => {
  const backlog = opened(10);
  backlog.connector.start();
  await write(10);
  const [waiting] = backlog.connector.measures();
  expect(waiting?.name).toBe('rivulet_billing_backlog');
  await until('all are seen', () => backlog.connector.measures()[0]?.value === 10, waitMs);
  expect(backlog.isTooLong).toBe(false);
  await write(1);
  await until('it is too long', () => backlog.isTooLong, waitMs);
  const at = (partition: number) => ({ topic: 'words', partition, offset: 1 });
  await log.admin.commitForEmptyGroup('counting', [at(0), at(1)]);
  await until('something was worked off', () => !backlog.isTooLong, waitMs);
  expect(backlog.connector.measures()[0]?.value).toBe(9);
  await backlog.connector.close();
});

test('where there is no limit nobody looks', async () => {
  const backlog = opened(0);
  backlog.connector.start();
  await write(100);
  expect([backlog.isTooLong, backlog.connector.measures()]).toEqual([false, []]);
  await backlog.connector.close();
});

test('a log that is away changes nothing', async () => {
  const backlog = opened(10);
  await write(20);
  backlog.connector.start();
  await until('it is too long', () => backlog.isTooLong, waitMs);
  await log.close();
  expect(backlog.isTooLong).toBe(true);
  await backlog.connector.close();
});
