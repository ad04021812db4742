/** What a sink whose share of the keys has grown owes to those that came to it: their latest records that passed before, read once more. */
import type { TopicPartition } from '../schemas/record.ts';
import type { Log, Reader } from './log.ts';
import { scanPartition } from './partition-scan.ts';
import { slicesOf, type Incoming, type Slice } from './sink-slices.ts';

/** Which of the keys are a sink's own, where that changes while it runs. */
export interface Share {
  /** In force now. */
  readonly percent: () => number;
  /** Whether a key is among so many: then it is among more. */
  readonly includes: (key: string, percent: number) => boolean;
}

/** Small: what comes new waits for no more than this. */
const readBytesMax = 64 * 1024;
const pollMs = 1_000;
/** Keys of a partition whose latest record is known; of more, a record may be dealt with that is not the latest. */
const keysMax = 1_000_000;

/** Of all keys up to `covered` percent every record is dealt with; of those up to `goal` percent none yet from `next` to `end`. */
interface Progress {
  readonly covered: number;
  readonly goal: number;
  readonly next: number;
  readonly end: number;
}

export interface LookBackOptions {
  readonly log: Pick<Log, 'reader' | 'admin'>;
  readonly at: TopicPartition;
  readonly share: Share;
  /** What `remembered` said; absent: nothing was ever dealt with. */
  readonly remembered: string | undefined;
}

/** Of one partition. */
export class LookBack {
  readonly #options: LookBackOptions;
  #progress: Progress;
  /** Where the latest record of each key lies that came to the share; absent: it is not known yet. */
  #latest: Map<string, number> | undefined;
  #reader: Reader | undefined;

  constructor(options: LookBackOptions) {
    this.#options = options;
    const nothing: Progress = { covered: 0, goal: 0, next: 0, end: 0 };
    // Reads only what `remembered` wrote.
    this.#progress = options.remembered === undefined ? nothing : (JSON.parse(options.remembered) as Progress);
  }

  /** Records still to be read once more. */
  get leftCount(): number {
    const { next, end } = this.#progress;
    return Math.max(0, end - next);
  }

  /** To be given to the next one that has the partition, with every progress: then no record passed under a smaller share than this one tells. */
  remembered(): string {
    return JSON.stringify(this.#progress);
  }

  /** Takes the share that holds from `offset` on, up to which all was read. */
  async aim(offset: number): Promise<void> {
    const percent = this.#options.share.percent();
    const { covered, goal, next, end } = this.#progress;
    if (percent === goal) return;
    if (percent > goal) this.#progress = { covered, goal: percent, next: await this.#start(), end: offset };
    else
      this.#progress = {
        covered: Math.min(covered, percent),
        goal: percent,
        next: percent > covered ? next : end,
        end,
      };
    this.#moveTo(this.#progress.next);
    await this.close();
  }

  /** The records of those who have the share now, which take the place of what they said before. */
  own(records: readonly Incoming[]): readonly Incoming[] {
    const { share } = this.#options;
    const own = records.filter((record) => share.includes(keyOf(record), this.#progress.goal));
    for (const record of own)
      if (this.#latest?.has(keyOf(record)) === true) this.#latest.set(keyOf(record), record.offset);
    return own;
  }

  /** A piece of what is to be read once more, while all up to `offset` was read as it came; `dealtWith` tells when it is. */
  async read(offset: number): Promise<readonly Slice[]> {
    const { at, log } = this.#options;
    const { next, end } = this.#progress;
    this.#latest ??= await this.#findLatest(Math.max(offset, end));
    if (this.#reader === undefined) {
      this.#reader = log.reader({ isolation: 'read_committed', partitionBytesMax: readBytesMax });
      this.#reader.seek(at, next);
    }
    const { batches, failures } = await this.#reader.poll(pollMs);
    for (const { error } of failures) throw error;
    const slices = [...slicesOf(batches)].map(({ records, to }) => ({ to, records: this.#due(records) }));
    const position = this.#reader.position(at)?.offset ?? next;
    if (slices.length === 0 && position >= end) this.dealtWith(position);
    return slices;
  }

  dealtWith(to: number): void {
    this.#moveTo(Math.min(to, this.#progress.end));
  }

  async close(): Promise<void> {
    const reader = this.#reader;
    this.#reader = undefined;
    this.#latest = undefined;
    await reader?.close();
  }

  #moveTo(next: number): void {
    const { covered, goal, end } = this.#progress;
    this.#progress = { covered: next >= end ? goal : covered, goal, next, end };
  }

  async #start(): Promise<number> {
    const [offsets] = await this.#options.log.admin.offsets([this.#options.at]);
    return offsets?.start ?? 0;
  }

  async #findLatest(to: number): Promise<Map<string, number>> {
    const { log, at } = this.#options;
    const latest = new Map<string, number>();
    await scanPartition(log, at, {
      from: this.#progress.next,
      to,
      onBatch: (batch) => {
        const cursor = batch.cursor();
        while (cursor.next()) {
          const key = keyOf({ key: cursor.key() });
          if (this.#isNew(key) && (latest.size < keysMax || latest.has(key))) latest.set(key, cursor.offset);
        }
      },
    });
    return latest;
  }

  #isNew(key: string): boolean {
    const { share } = this.#options;
    const { covered, goal } = this.#progress;
    return share.includes(key, goal) && !share.includes(key, covered);
  }

  #due(records: readonly Incoming[]): readonly Incoming[] {
    return records.filter((record) => {
      const key = keyOf(record);
      return (
        record.offset < this.#progress.end &&
        this.#isNew(key) &&
        (this.#latest?.get(key) ?? record.offset) === record.offset
      );
    });
  }
}

const keyOf = ({ key }: Pick<Incoming, 'key'>): string => Buffer.from(key ?? []).toString();
