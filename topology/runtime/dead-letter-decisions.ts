/** What was decided on dead letters: a compacted topic of the application, read into memory as far as it goes. */
import type { Clock } from '../../clock.ts';
import type { Log, OutgoingBatch } from '../../connectors/log.ts';
import { StreamError } from '../../errors.ts';
import { noHeaders } from '../../schemas/record.ts';
import { BatchBuilder } from '../../schemas/record-batch.ts';
import { readRange } from './read-range.ts';

/** Decisions kept in memory, at some 300 bytes each. Beyond it the desk refuses to work rather than to forget. */
const decisionsMax = 500_000;
/** Waits for the end of somebody's open transaction. */
const settle = { attemptsMax: 100, waitMs: 50 } as const;

/** How one dead letter ended. */
export interface Decision {
  readonly id: string;
  readonly state: 'replayed' | 'discarded';
  /** Who, as they called themselves. */
  readonly by: string;
  /** Epoch ms. */
  readonly at: number;
  readonly reason?: string;
  /** Topic that a replay went to. */
  readonly target?: string;
}

export interface Decisions {
  /** Reads what is new. */
  refresh(): Promise<void>;
  /** Makes the topic if it is missing. */
  prepare(): Promise<void>;
  /** Of an origin, as of the last refresh. */
  known(originId: string): Decision | undefined;
  /** As of now, nothing undecided left out. */
  find(originId: string): Promise<Decision | undefined>;
  batch(originId: string, decision: Decision): OutgoingBatch;
}

export function decisionsOf(options: {
  readonly log: Log;
  readonly clock: Clock;
  readonly applicationId: string;
}): Decisions {
  return new DecisionTopic(options);
}

class DecisionTopic implements Decisions {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #topic: string;
  readonly #known = new Map<string, Decision>();
  #position = 0;

  constructor({ log, clock, applicationId }: { log: Log; clock: Clock; applicationId: string }) {
    this.#log = log;
    this.#clock = clock;
    this.#topic = `${applicationId}-dead-letter-decisions`;
  }

  async prepare(): Promise<void> {
    const configs = { 'cleanup.policy': 'compact' };
    await this.#log.admin.createTopics([{ name: this.#topic, partitions: 1, configs }]);
  }

  known(originId: string): Decision | undefined {
    return this.#known.get(originId);
  }

  async find(originId: string): Promise<Decision | undefined> {
    for (let attempt = 0; (await this.#read()) > 0; attempt += 1) {
      if (attempt >= settle.attemptsMax)
        throw new StreamError('LOG_UNAVAILABLE', 'earlier decisions on dead letters are not settled yet');
      await this.#clock.sleep(settle.waitMs);
    }
    return this.#known.get(originId);
  }

  async refresh(): Promise<void> {
    const described = await this.#log.admin.describeTopics([this.#topic]);
    if (described.get(this.#topic) !== undefined) await this.#read();
  }

  batch(originId: string, decision: Decision): OutgoingBatch {
    const records = new BatchBuilder();
    records.append(decision.at, Buffer.from(originId), Buffer.from(JSON.stringify(decision)), noHeaders);
    return { topic: this.#topic, partition: 0, records };
  }

  /** Reads to the last stable offset; returns how much is still undecided after it. */
  async #read(): Promise<number> {
    const [range] = await this.#log.admin.offsets([{ topic: this.#topic, partition: 0 }]);
    if (range === undefined) return 0;
    const { start, stable, end } = range;
    const from = Math.max(this.#position, start);
    for await (const { key, value } of readRange(this.#log, { topic: this.#topic, partition: 0, from, to: stable })) {
      if (key === undefined || value === undefined) continue;
      if (this.#known.size >= decisionsMax)
        throw new StreamError('CONFIG_INVALID', `${this.#topic} has more decisions than fit into memory`, {
          facts: { decisionsMax },
        });
      this.#known.set(Buffer.from(key).toString('utf8'), JSON.parse(Buffer.from(value).toString('utf8')) as Decision);
    }
    this.#position = Math.max(from, stable);
    return end - stable;
  }
}
