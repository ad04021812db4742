/** Constant load, and an eye on committed offsets, while faults happen. */
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import { kafkaLog } from '../../connectors/kafka/kafka-log.ts';
import type { Log, OutgoingBatch, Producer } from '../../connectors/log.ts';
import { BatchBuilder } from '../../schemas/record-batch.ts';
import { noHeaders, partitionId, type TopicPartition } from '../../schemas/record.ts';
import { partitionForKey } from '../../schemas/murmur2.ts';
import { feed, partitions, type ChaosWorkload, type FedRecord } from './workload.ts';

const recordsPerTurn = 60;
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
  const records = feed(workload, seed);
  let producer: Producer | undefined;
  let drawn = 0;
  while (!signal.aborted) {
    const slice = Array.from({ length: recordsPerTurn }, () => records.next().value);
    drawn += slice.length;
    for (let isSent = false; !isSent;) {
      try {
        producer ??= await log.producer({});
        await producer.send(batchesOf(slice));
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

function batchesOf(records: readonly FedRecord[]): readonly OutgoingBatch[] {
  const batches = new Map<string, OutgoingBatch>();
  for (const { topic, key, value } of records) {
    const partition = partitionForKey(key, partitions);
    const id = partitionId(topic, partition);
    const batch = batches.get(id) ?? { topic, partition, records: new BatchBuilder() };
    batches.set(id, batch);
    batch.records.append(systemClock.nowMs(), key, value, noHeaders);
  }
  return [...batches.values()];
}

export interface Progress {
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

  /** Sums over all inputs. Rejects while the broker does not answer. */
  async look(): Promise<Progress> {
    let [committed, end] = [0, 0];
    for (const { applicationId, inputs } of this.#workload.applications) {
      const all = inputs.flatMap((topic) =>
        Array.from({ length: partitions }, (_, partition) => ({ topic, partition })),
      );
      const offsets = await this.#log.admin.committed(applicationId, all, { requireStable: false });
      const ranges = await this.#log.admin.offsets(all);
      for (const [index, { topic, partition }] of all.entries()) {
        const offset = offsets[index]?.offset ?? 0;
        const id = partitionId(topic, partition);
        const before = this.#seen.get(id) ?? 0;
        if (offset < before) await this.#checkBack(applicationId, { topic, partition }, before);
        this.#seen.set(id, Math.max(offset, before));
        committed += offset;
        end += ranges[index]?.end ?? 0;
      }
    }
    return { committed, end };
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

  /** Waits until everything that is in the inputs now is committed; returns how long it took, or `undefined` after `timeoutMs`. */
  async caughtUp(timeoutMs: number): Promise<number | undefined> {
    const startedMs = systemClock.monotonicMs();
    let goal: number | undefined;
    while (systemClock.monotonicMs() - startedMs < timeoutMs) {
      const progress = await this.look().catch(() => undefined);
      goal ??= progress?.end;
      if (progress !== undefined && goal !== undefined && progress.committed >= goal)
        return systemClock.monotonicMs() - startedMs;
      await systemClock.sleep(50);
    }
    return undefined;
  }
}
