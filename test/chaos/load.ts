/** Constant load, and an eye on committed offsets, while faults happen. */
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import { kafkaLog } from '../../connectors/kafka/kafka-log.ts';
import type { Log, Producer } from '../../connectors/log.ts';
import { batchesOf } from '../../connectors/outgoing-record.ts';
import { noHeaders, partitionId, type TopicPartition } from '../../schemas/record.ts';
import { partitionsOf } from '../support/progress.ts';
import type { ChaosWorkload } from './workload.ts';

const turnMs = 100;
const sampleMs = 300;
/** Until offsets are stable: transactions come and go. */
const checksMax = 500;
const checkMs = 20;

export function openLog(brokers: string, clientId: string): Log {
  return kafkaLog(
    { brokers: brokers.split(','), clientId },
    { clock: systemClock, random: systemRandom, logger: silentLogger },
  );
}

/** Feeds records until `signal` aborts; whatever is not acknowledged is sent again, so that inputs hold some twice. Returns how many were drawn. */
export async function load(
  log: Log,
  workload: ChaosWorkload,
  { seed, signal }: { readonly seed: number; readonly signal: AbortSignal },
): Promise<number> {
  const records = workload.feed(seed);
  const partitions = new Map(workload.topics.map((topic) => [topic.name, topic.partitions]));
  let producer: Producer | undefined;
  let drawn = 0;
  while (!signal.aborted) {
    const slice = Array.from({ length: workload.recordsPerTurn }, () => records.next().value);
    drawn += slice.length;
    for (let isSent = false; !isSent;) {
      try {
        producer ??= await log.producer({});
        await producer.send(
          batchesOf(
            slice.map((record) => ({ ...record, headers: noHeaders, timestampMs: systemClock.nowMs() })),
            partitions,
          ),
        );
        isSent = true;
      } catch {
        await producer?.close();
        producer = undefined;
        await systemClock.sleep(500);
      }
    }
    await systemClock.sleep(turnMs, signal);
  }
  await producer?.close();
  return drawn;
}

/** Of one input partition. */
interface Progress {
  readonly committed: number;
  readonly end: number;
}

/** Looks at the committed offsets of all inputs again and again. */
export class Watch {
  regressions = 0;
  readonly #log: Log;
  readonly #workload: ChaosWorkload;
  readonly #seen = new Map<string, number>();

  constructor(log: Log, workload: ChaosWorkload) {
    this.#log = log;
    this.#workload = workload;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look().catch(() => undefined);
      await systemClock.sleep(sampleMs, signal);
    }
  }

  /** Of every input of every group. Rejects while the broker does not answer. */
  async look(): Promise<ReadonlyMap<string, Progress>> {
    const found = new Map<string, Progress>();
    for (const [applicationId, inputs] of this.#workload.inputs) {
      const all = (await Promise.all(inputs.map((topic) => partitionsOf(this.#log, topic)))).flat();
      const offsets = await this.#log.admin.committed(applicationId, all, { requireStable: false });
      const ranges = await this.#log.admin.offsets(all);
      for (const [index, { topic, partition }] of all.entries()) {
        const committed = offsets[index]?.offset ?? 0;
        const id = `${applicationId} ${partitionId(topic, partition)}`;
        const before = this.#seen.get(id) ?? 0;
        if (committed < before) await this.#checkBack(applicationId, { topic, partition }, before);
        this.#seen.set(id, Math.max(committed, before));
        found.set(id, { committed, end: ranges[index]?.end ?? 0 });
      }
    }
    return found;
  }

  /**
   * After a coordinator has moved (seen on 4.3.1 with three brokers) an answer may lie behind an earlier one although every effect is there once; probably
   * it is as of an older high watermark. So the newest, stable offset decides. What went back and came forward again meanwhile is not noticed here: then
   * effects are there twice, which the comparison with the inputs finds.
   */
  async #checkBack(applicationId: string, at: TopicPartition, before: number): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const [found] = await this.#log.admin.committed(applicationId, [at], { requireStable: true });
        if ((found?.offset ?? 0) >= before) return;
        this.regressions += 1;
        console.error(`${applicationId}: ${at.topic}/${String(at.partition)} went back from ${String(before)}`);
        return;
      } catch (error) {
        if (attempt >= checksMax) throw error;
        await systemClock.sleep(checkMs);
      }
    }
  }

  /** Waits until everything that is in the inputs now is committed; returns how long it took, or `undefined` after `timeoutMs`. Only while more is fed. */
  async caughtUp(timeoutMs: number): Promise<number | undefined> {
    const startedMs = systemClock.monotonicMs();
    let goals: ReadonlyMap<string, Progress> | undefined;
    while (systemClock.monotonicMs() - startedMs < timeoutMs) {
      const progress = await this.look().catch(() => undefined);
      goals ??= progress;
      const isDone = ([id, { end }]: [string, Progress]): boolean => (progress?.get(id)?.committed ?? -1) >= end;
      if (goals !== undefined && [...goals].every(isDone)) return systemClock.monotonicMs() - startedMs;
      await systemClock.sleep(50);
    }
    return undefined;
  }
}
