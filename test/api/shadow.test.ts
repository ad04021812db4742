import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { shadowRoutes } from '../../api/app/shadow-routes.ts';
import { rolloutReportCommand } from '../../commands/rollout-report.ts';
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import { memoryLog, type EmbeddedLog } from '../../connectors/embedded/embedded-log.ts';
import { shadowTallies } from '../../processors/app/shadow/tallies.ts';
import { stringSerde } from '../../schemas/serde.ts';
import { defineTopic } from '../../schemas/topic.ts';
import { shadowTopics, type ShadowResult } from '../../schemas/app/shadow.ts';
import { shadow } from '../../topology/app/shadow.ts';
import { TestDriver } from '../../topology/runtime/driver.ts';
import { produce } from '../support/cluster.ts';
import { FakeCluster, FakeInstance, apiOf, hurriedClock, type Api } from './fake-instance.ts';

const topics = shadowTopics();
const letters = defineTopic({ name: 'customer.dlq', key: stringSerde, value: stringSerde });
const nowMs = Date.UTC(2026, 0, 8, 12);

/** The comparison behind its API: what is written is compared at once. */
let driver: TestDriver;
let log: EmbeddedLog;
let api: Api;
let cluster: FakeCluster;

beforeEach(async () => {
  driver = new TestDriver(shadow());
  cluster = new FakeCluster({ specs: [shadowTallies] });
  log = memoryLog({ clock: systemClock, random: systemRandom, logger: silentLogger });
  await log.admin.createTopics([{ name: letters.name, partitions: 1 }]);
  const options = {
    topics,
    log,
    clock: { ...hurriedClock, nowMs: () => nowMs },
    deadLetterTopics: [letters.name, 'billing.dead-letter'],
    write: ({ topic, key, value }: { topic: string; key: Uint8Array | undefined; value: Uint8Array | undefined }) => {
      driver.pipeBytes(topic, key, value, { timestampMs: nowMs });
      return Promise.resolve({ topic, partition: 0, offset: 0 });
    },
  };
  const routes = [shadowRoutes(options)];
  api = apiOf([new FakeInstance(cluster, 'one')], { routes, clock: hurriedClock, rateLimitPerSecond: 0 });
});

afterEach(async () => {
  driver.close();
  await api.close();
  await log.close();
});

const result = { correlationId: 'k1', outcome: 'completed', amount: '10.00', currency: 'EUR' } as const;

async function tell(payload: object): Promise<number> {
  return (await api.inject({ method: 'POST', url: '/shadow/results', payload })).statusCode;
}

/** Both systems end these, the new one with this amount. */
async function compare(keys: readonly string[], amount = '10.00000000'): Promise<void> {
  for (const correlationId of keys) {
    await tell({ ...result, correlationId });
    const ofNew: ShadowResult = { ...result, correlationId, amount, side: 'new', at: nowMs * 1_000 };
    driver.pipe(topics.results, correlationId, ofNew, { timestampMs: nowMs });
  }
  for (const { key, value } of await driver.rows(shadowTallies)) cluster.put(shadowTallies.name, key, value);
}

interface Report {
  readonly go: boolean;
  readonly checks: readonly { readonly check: string; readonly isPassed: boolean }[];
}

const report = async (query = 'comparisonsMin=2'): Promise<Report> =>
  (await api.inject(`/admin/rollout-report?${query}`)).json<Report>();

describe('results of the old system', () => {
  test('are written down as its side, and compared', async () => {
    expect(await tell(result)).toBe(202);
    expect(driver.read(topics.comparisons)).toEqual([]);
    await compare(['k2']);
    expect(driver.read(topics.comparisons)).toMatchObject([{ key: 'k2', value: { outcome: 'match' } }]);
  });

  test.each([
    [{ ...result, side: 'new' }],
    [{ ...result, amount: 10 }],
    [{ ...result, amount: 'NaN' }],
    [{ ...result, outcome: 'unknown' }],
    [{ outcome: 'completed' }],
    [{ ...result, correlationId: '' }],
  ])('are refused as %j', async (payload) => {
    expect(await tell(payload)).toBe(400);
  });
});

describe('the report', () => {
  async function command(...args: readonly string[]): Promise<readonly [number, readonly string[]]> {
    const lines: string[] = [];
    const code = await rolloutReportCommand(args, {
      print: (line) => lines.push(line),
      request: async (method, url) => {
        const { statusCode: status, body, headers } = await api.inject({ method, url });
        const isJson = String(headers['content-type']).includes('json');
        return { status, body: isJson ? (JSON.parse(body) as unknown) : body };
      },
    });
    return [code, lines];
  }

  test('says no-go while too little was compared, go once it was, and no-go for a mismatch in less than a thousand', async () => {
    expect(await report()).toMatchObject({ go: false, checks: [{ check: 'comparisons' }, { check: 'dead letters' }] });
    await compare(['k1']);
    expect(await report()).toMatchObject({ go: false });
    await compare(['k2', 'k3']);
    expect(await report()).toMatchObject({ go: true, since: '2026-01-01' });
    const unread = 'FAILED  share of reads within 0.03 s: 0 (limit 0.99)';
    expect(await command('--comparisons-min', '2')).toEqual([1, expect.arrayContaining([unread, 'NO-GO'])]);
    await compare(['k4'], '10.01');
    expect(await report()).toMatchObject({
      go: false,
      pairs: [{ outcomes: { match: 3, mismatch: 1 }, fields: { amount: 1 } }],
    });
    const [code, lines] = await command('--comparisons-min', '2');
    expect([code, lines.at(-1)]).toEqual([1, 'NO-GO']);
    expect(lines).toContain('FAILED  billing old|new: share that matches: 0.75 (limit 0.999)');
  });

  test('says no-go for a dead letter of these days, not for one before them', async () => {
    const put = (timestampMs: number) => produce(log, letters, [{ key: 'k', value: 'v', timestampMs }]);
    const failed = async (): Promise<unknown> =>
      (await report()).checks.find(({ check }) => check === 'dead letters')?.isPassed;
    await put(Date.UTC(2025, 11, 31));
    expect(await failed()).toBe(true);
    await put(nowMs);
    expect(await failed()).toBe(false);
  });

  test.each(['--days', '--days x', '--weeks 1', 'now'])('2 for the arguments %s', async (args) => {
    expect((await command(...args.split(' ')))[0]).toBe(2);
  });

  test('1 if nobody can say', async () => {
    const request = () => Promise.resolve({ status: 0, body: { detail: 'nobody answers' } });
    const lines: string[] = [];
    expect(await rolloutReportCommand([], { request, print: (line) => lines.push(line) })).toBe(1);
    expect(lines).toEqual(['no report: nobody answers']);
  });
});
