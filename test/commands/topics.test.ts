import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { systemClock, systemRandom } from '../../clock.ts';
import { topicsCommand } from '../../commands/topics.ts';
import { memoryLog, type EmbeddedLog } from '../../connectors/embedded/embedded-log.ts';
import type { NewTopic } from '../../connectors/log.ts';
import { StreamError } from '../../errors.ts';
import { startApplication } from '../support/application.ts';

const declared: readonly NewTopic[] = [
  { name: 'orders', partitions: 4, configs: { 'cleanup.policy': 'delete', 'retention.ms': '-1' } },
  { name: 'totals', partitions: 2, configs: { 'cleanup.policy': 'compact', 'min.cleanable.dirty.ratio': '0.30' } },
];

let log: EmbeddedLog;
let printed: string[];

beforeEach(() => {
  log = memoryLog({ clock: systemClock, random: systemRandom });
});

afterEach(async () => {
  await log.close();
});

function run(...args: readonly string[]): Promise<number> {
  printed = [];
  const open = () => Promise.resolve({ admin: log.admin, close: () => Promise.resolve() });
  return topicsCommand(args, { open, declared, replicationFactor: 3, print: (line) => printed.push(line) });
}

describe('the topics of the applications', () => {
  test('are created as they are declared; a second time nothing is to be done', async () => {
    expect(await run()).toBe(0);
    expect(printed).toEqual([
      'orders: created, 4 partitions',
      'totals: created, 2 partitions',
      '{"topics":2,"created":2,"mended":0,"missing":0,"drifted":0}',
    ]);
    expect((await log.admin.topicConfigs('orders')).get('retention.ms')).toBe('-1');
    expect(await run()).toBe(0);
    expect(printed).toEqual([
      'orders: as declared',
      'totals: as declared',
      '{"topics":2,"created":0,"mended":0,"missing":0,"drifted":0}',
    ]);
  });

  test('are only looked for in a dry run', async () => {
    expect(await run('--dry-run')).toBe(1);
    expect(printed).toEqual([
      'orders: missing',
      'totals: missing',
      '{"topics":2,"created":0,"mended":0,"missing":2,"drifted":0}',
    ]);
    expect(await log.admin.listTopics()).toEqual([]);
  });

  test('that were made otherwise are told apart, and left as they are', async () => {
    await log.admin.createTopics([
      { name: 'orders', partitions: 3, configs: { 'cleanup.policy': 'compact', 'retention.ms': '1000' } },
      { name: 'totals', partitions: 2, configs: { 'cleanup.policy': 'compact', 'min.cleanable.dirty.ratio': '0.3' } },
    ]);
    expect(await run()).toBe(1);
    expect(printed).toEqual([
      'orders: partitions: 3, declared 4; this cannot be changed in place',
      'orders: cleanup.policy: compact, declared delete',
      'orders: retention.ms: 1000, declared -1',
      'totals: as declared',
      '{"topics":2,"created":0,"mended":0,"missing":0,"drifted":1}',
    ]);
    expect((await log.admin.topicConfigs('orders')).get('retention.ms')).toBe('1000');
  });

  test('are configured as declared where that is asked for; partitions stay as they are', async () => {
    await log.admin.createTopics([
      { name: 'orders', partitions: 3, configs: { 'retention.ms': '1000' } },
      { name: 'totals', partitions: 2, configs: { 'cleanup.policy': 'delete', 'segment.ms': '5000' } },
    ]);
    expect(await run('--fix')).toBe(1);
    expect(printed).toEqual([
      'orders: partitions: 3, declared 4; this cannot be changed in place',
      'orders: retention.ms: 1000, declared -1, mended',
      'totals: cleanup.policy: delete, declared compact, mended',
      'totals: min.cleanable.dirty.ratio: 0.5, declared 0.30, mended',
      '{"topics":2,"created":0,"mended":2,"missing":0,"drifted":1}',
    ]);
    expect(await run()).toBe(1);
    expect(printed.slice(1)).toEqual([
      'totals: as declared',
      '{"topics":2,"created":0,"mended":0,"missing":0,"drifted":1}',
    ]);
    expect((await log.admin.topicConfigs('totals')).get('segment.ms')).toBe('5000');
  });

  test('that have fewer replicas than they should are told: those who run the brokers move them', async () => {
    const { admin: whole } = log;
    const admin = {
      createTopics: whole.createTopics.bind(whole),
      describeTopics: whole.describeTopics.bind(whole),
      topicConfigs: whole.topicConfigs.bind(whole),
      alterTopicConfigs: whole.alterTopicConfigs.bind(whole),
      brokerCount: () => Promise.resolve(2),
    };
    await log.admin.createTopics(declared);
    printed = [];
    const open = () => Promise.resolve({ admin, close: () => Promise.resolve() });
    const print = (line: string) => printed.push(line);
    expect(await topicsCommand(['--fix'], { open, declared, replicationFactor: 3, print })).toBe(1);
    expect(printed[0]).toBe('orders: replicas: 1, declared 2; this cannot be changed in place');
    expect(await topicsCommand([], { open, declared, replicationFactor: 1, print })).toBe(0);
  });

  test('cannot be made without a log: the reason is told, not a stack', async () => {
    printed = [];
    const open = () => Promise.reject(new StreamError('LOG_UNAVAILABLE', 'no broker answers'));
    expect(await topicsCommand([], { open, declared, replicationFactor: 3, print: (line) => printed.push(line) })).toBe(
      1,
    );
    expect(printed).toEqual(['LOG_UNAVAILABLE: no broker answers']);
  });

  test('need arguments that make sense', async () => {
    expect(await run('--force')).toBe(2);
    expect(await log.admin.listTopics()).toEqual([]);
  });

  test('are made by the program: on the embedded log, for the topologies that are chosen', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'rivulet-topics-'));
    try {
      const env = { DATA_DIR: directory, TOPOLOGIES: 'billing-ledger', TOPIC_PREFIX: 'x.' };
      for (const created of [true, false]) {
        const { ended, stdout } = startApplication(env, { args: ['topics'] });
        expect(await ended).toBe(0);
        const line = created ? 'created, 10 partitions' : 'as declared';
        expect(stdout()).toContain(`x.billing.requests: ${line}\n`);
      }
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }, 120_000);
});
