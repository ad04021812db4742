/** Builds the topology of a case, runs it in the test driver and compares. */
import { defineTopology, noHeaders, type Header, type Topology } from '../../index.ts';
import { TestDriver, type DriverOutput } from '../../testing.ts';
import { compareCase, describeDifference, sameRecord, type Observed } from './compare.ts';
import type { ConformanceCase, Input, Output, RecordInput } from './format.ts';
import { inputTopics, Kit, outputTopic, watchedStore } from './kit.ts';
import { kinds } from './kinds/all.ts';
import { Pending } from './kinds/kinds.ts';
import { parseKey, parseValue, renderKey, renderRows } from './render.ts';

export type Result =
  | { readonly outcome: 'passed' }
  | { readonly outcome: 'failed'; readonly difference: string }
  | { readonly outcome: 'skipped'; readonly reason: string };

/**
 * Limits in bytes count the name of a record's topic: with this one, names of repartition topics are as long as those that the test driver of
 * Kafka Streams makes up.
 */
const applicationId = 'conformance'.padEnd(77, '-application');

/** Wall clock of a record whose input names no timestamp. */
const defaultTimestampMs = 1_700_000_000_000;

export async function runCase(of: ConformanceCase): Promise<Result> {
  try {
    const topology = build(of);
    const difference = compareCase(of, await observe(of, topology, of.input)) ?? (await compareCached(of, topology));
    return difference === undefined ? { outcome: 'passed' } : { outcome: 'failed', difference };
  } catch (error) {
    if (error instanceof Pending) return { outcome: 'skipped', reason: error.message };
    return { outcome: 'failed', difference: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

function build(of: ConformanceCase): Topology {
  const build = kinds[of.kind];
  if (build === undefined) throw new Pending(`unknown kind ${of.kind}`);
  return defineTopology('conformance', (t) => {
    build(new Kit(t, of));
  });
}

/** With caching only the last output is known: which of the earlier ones are left out is up to the cache. */
async function compareCached(of: ConformanceCase, topology: Topology): Promise<string | undefined> {
  const { cachedVariant } = of;
  if (cachedVariant === undefined) return undefined;
  const input = cachedVariant.input === undefined || cachedVariant.input === 'same' ? of.input : cachedVariant.input;
  const { outputs } = await observe(of, topology, input);
  const last = Object.values(outputs).flat(2).at(-1);
  if (last !== undefined && sameRecord(cachedVariant.lastOutput, last)) return undefined;
  return describeDifference('cached variant, last output', cachedVariant.lastOutput, last);
}

async function observe(of: ConformanceCase, topology: Topology, input: readonly Input[]): Promise<Observed> {
  const isOneTransaction = (of.params.caching ?? of.caching ?? 'off').startsWith('on');
  const driver = new TestDriver(topology, { applicationId, commitsEachRecord: !isOneTransaction });
  const topics = outputNames(topology).map((name) => [name, outputTopic(name)] as const);
  const outputs: Record<string, Output[][]> = Object.fromEntries(topics.map(([name]) => [name, []]));
  const errors: (string | undefined)[] = [];
  const stores: Output[][] = [];
  const drops: number[] = [];
  for (const [step, item] of input.entries()) {
    errors.push(
      attempt(() => {
        feed(driver, of, { step, item });
        if (isOneTransaction && step === input.length - 1) driver.commit();
      }),
    );
    for (const [name, topic] of topics) outputs[name]?.push(driver.read(topic).map((record) => render(of, record)));
    stores.push(await storeContent(driver, of, topology));
    drops.push(droppedRecords(driver));
  }
  driver.close();
  return { outputs, errors, stores, drops };
}

function attempt(run: () => void): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    const messages: string[] = [];
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) messages.push(cause.message);
    return messages.join(': ');
  }
}

function feed(driver: TestDriver, of: ConformanceCase, { step, item }: { step: number; item: Input }): void {
  if ('advanceWallClockTo' in item) {
    driver.advanceWallClock(item.advanceWallClockTo - driver.wallClockMs);
    return;
  }
  const topic = inputTopics(of).get(item.topic);
  if (topic === undefined) throw new Error(`input ${String(step)} goes to ${item.topic}, which has no type`);
  driver.pipe(topic, parseKey(item.key), parseValue(item.value), {
    timestampMs: item.ts ?? defaultTimestampMs,
    headers: headersOf(of, item, step),
  });
}

/** Cases about headers number their inputs in a header. */
function headersOf(of: ConformanceCase, { headers }: RecordInput, step: number): readonly Header[] {
  const pairs = headers ?? (of.tags?.includes('headers') === true ? [['i', String(step)] as const] : undefined);
  return pairs === undefined ? noHeaders : pairs.map(([key, value]) => ({ key, value: Buffer.from(value) }));
}

function outputNames(topology: Topology): readonly string[] {
  return topology.nodes.flatMap((node) =>
    node.kind === 'sink' && node.name.endsWith('-sink') ? [node.name.slice(0, -5)] : [],
  );
}

function render(of: ConformanceCase, record: DriverOutput<unknown, unknown>): Output {
  return {
    key: renderKey(of, record.key),
    value: record.value,
    ts: record.timestampMs,
    headers: record.headers.map(({ key, value }) => [key, Buffer.from(value ?? []).toString()] as const),
  };
}

async function storeContent(driver: TestDriver, of: ConformanceCase, topology: Topology): Promise<Output[]> {
  const spec = topology.stores.find(({ name }) => name === watchedStore);
  return spec === undefined ? [] : renderRows(of, await driver.rows(spec));
}

/** What Kafka Streams filters without counting it. */
const uncounted: readonly string[] = ['no-branch', 'unkeyed'];

function droppedRecords(driver: TestDriver): number {
  let total = 0;
  for (const [reason, count] of driver.drops()) if (!uncounted.includes(reason)) total += count;
  return total;
}
