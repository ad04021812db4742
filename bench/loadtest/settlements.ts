/** Which of the commands of a load test have been settled, and how long that took. */
import { systemClock } from '../../clock.ts';
import type { FetchedBatch, Log } from '../../connectors/log.ts';
import { partitionsOf } from '../../test/support/progress.ts';
import { Latencies } from './figures.ts';
import type { HttpClient } from './intake.ts';
import type { Command } from './transfers.ts';

export interface Settlements {
  readonly underWay: number;
  readonly settled: number;
  /** When the last one was seen, monotonic ms. */
  readonly lastMs: number;
  /** From when a command was handed in until its outcome was seen, since the last `reset`. */
  readonly latencies: Latencies;
  /** About to be handed in. */
  sent(commands: readonly Command[]): void;
  /** They were handed in, and not accepted. */
  refused(commands: readonly Command[]): void;
  /** Begins to count anew; nothing may be under way. */
  reset(): void;
  stop(): Promise<void>;
}

const pollMs = 200;
const outcome = /(Completed|Failed)$/;

/** Reads what was committed to `billing.transaction.events`: exact, and as late as any other reader. */
export async function settlementsInLog(log: Log, topic: string): Promise<Settlements> {
  const reader = log.reader({ isolation: 'read_committed' });
  const partitions = await partitionsOf(log, topic);
  for (const [index, { end }] of (await log.admin.offsets(partitions)).entries())
    if (partitions[index] !== undefined) reader.seek(partitions[index], end);
  const underWay = new Map<string, number>();
  const counted = { settled: 0, lastMs: 0, latencies: new Latencies() };
  let isStopped = false;

  const take = (batch: FetchedBatch): void => {
    const nowMs = systemClock.monotonicMs();
    for (const cursor = batch.cursor(); cursor.next();) {
      const type = cursor.headers().find(({ key }) => key === 'eventType')?.value;
      if (!outcome.test(Buffer.from(type ?? []).toString())) continue;
      const txId = Buffer.from(cursor.key() ?? []).toString();
      const sentMs = underWay.get(txId);
      if (sentMs === undefined) continue;
      underWay.delete(txId);
      counted.settled += 1;
      counted.lastMs = nowMs;
      counted.latencies.add(nowMs - sentMs);
    }
  };
  const run = async (): Promise<void> => {
    while (!isStopped) for (const batch of (await reader.poll(pollMs)).batches) take(batch);
    await reader.close();
  };
  const running = run();
  return {
    get underWay() {
      return underWay.size;
    },
    get settled() {
      return counted.settled;
    },
    get lastMs() {
      return counted.lastMs;
    },
    get latencies() {
      return counted.latencies;
    },
    sent: (commands) => {
      const nowMs = systemClock.monotonicMs();
      for (const { txId } of commands) underWay.set(txId, nowMs);
    },
    refused: (commands) => {
      for (const { txId } of commands) underWay.delete(txId);
    },
    reset: () => {
      Object.assign(counted, { settled: 0, latencies: new Latencies() });
    },
    stop: async () => {
      isStopped = true;
      reader.wakeup();
      await running;
    },
  };
}

/** Of how many one is followed until its outcome. */
const sampleEvery = 50;
const lookMs = 100;

/**
 * Asks over HTTP, for a log that nobody else can read: daily totals say how many are settled, the status of some how long that took. Accounts that are
 * opened are in no total, so each of them is followed.
 */
export function settlementsOverHttp(client: HttpClient): Settlements {
  const firstDay = today();
  let [sent, before, now, opened, lastMs] = [0, 0, 0, 0, 0];
  let latencies = new Latencies();
  let isStopped = false;
  const totalOf = async (day: string): Promise<number> => {
    const answer = await client.ask(`/analytics/daily?from=${day}`, 200);
    return (answer as { items: { count: number }[] }).items.reduce((sum, { count }) => sum + count, 0);
  };
  const look = async (): Promise<void> => {
    let found = 0;
    for (const day of new Set([firstDay, today()])) found += await totalOf(day);
    if (found > now) lastMs = systemClock.monotonicMs();
    now = found;
  };
  const run = async (): Promise<void> => {
    while (!isStopped) {
      await look().catch(() => undefined);
      await systemClock.sleep(lookMs);
    }
  };
  const follow = async ({ type, body }: Command, sentMs: number): Promise<void> => {
    const path = `/transactions/status/${encodeURIComponent(body.idempotencyKey)}?wait=10000`;
    while (!isStopped) {
      const answer = await client.ask(path, 200).catch(() => undefined);
      if ((answer as { status?: unknown } | undefined)?.status === 'completed') break;
      if (answer === undefined) await systemClock.sleep(lookMs);
    }
    if (type === 'open') opened += 1;
    latencies.add(systemClock.monotonicMs() - sentMs);
  };
  const running = look().then(() => {
    before = now;
    return run();
  });
  const followed: Promise<void>[] = [];
  return {
    get underWay() {
      return sent - opened - (now - before);
    },
    get settled() {
      return opened + now - before;
    },
    get lastMs() {
      return lastMs;
    },
    get latencies() {
      return latencies;
    },
    sent: (commands) => {
      const sentMs = systemClock.monotonicMs();
      for (const [index, command] of commands.entries())
        if (command.type === 'open' || (sent + index) % sampleEvery === 0) followed.push(follow(command, sentMs));
      sent += commands.length;
    },
    refused: (commands) => {
      sent -= commands.length;
    },
    reset: () => {
      [before, sent, opened, latencies] = [now, 0, 0, new Latencies()];
    },
    stop: async () => {
      isStopped = true;
      await Promise.all([running, ...followed]);
    },
  };
}

/** UTC, as daily totals have it. */
function today(): string {
  return new Date(systemClock.nowMs()).toISOString().slice(0, 'YYYY-MM-DD'.length);
}
