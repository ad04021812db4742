/** A store of one task: the opened bytes, its layers, the typed handle processors see, and its changelog. */
import type { RestoredEntry, StoreLayers } from '../../state-stores/store-layers.ts';
import type { KeyValueStore, Position } from '../../state-stores/store.ts';
import type { FetchedBatch } from '../../connectors/log.ts';
import type { PlannedStore } from '../plan.ts';
import type { Outputs } from './outputs.ts';
import { inputEntry, loggedEntry } from './restored-entry.ts';

/** Whose record is being processed: gives plain puts their timestamp. */
export interface WriteContext {
  readonly writeTimestampMs: number;
}

/** Where a task stands as it commits. */
interface SealScope {
  readonly partition: number;
  readonly queues: readonly { readonly topic: string; readonly nextOffset: number }[];
}

/** Entries per batch while restoring: large enough to amortise a write, small enough to stay resumable. */
const restoreBatchMax = 5_000;
/** Framing of one changelog record in its batch. */
const changelogOverheadBytes = 256;

export interface TaskStoreBounds {
  /** What the changelog takes in one record. */
  readonly messageBytesMax: number;
  /** Memory for decoded values. */
  readonly cacheBytesMax: number;
}

export class TaskStore {
  readonly name: string;
  readonly planned: PlannedStore;
  readonly layered: StoreLayers;
  /** The typed handle. */
  readonly state: unknown;
  readonly #backing: KeyValueStore;
  readonly #bounds: TaskStoreBounds;
  #context: WriteContext | undefined;
  #pending: RestoredEntry[] = [];
  /** What was sealed last reflects the topic of its table up to here. */
  #consumedTo: number | undefined;

  constructor(planned: PlannedStore, backing: KeyValueStore, bounds: TaskStoreBounds) {
    this.name = planned.spec.name;
    this.planned = planned;
    this.#backing = backing;
    this.#bounds = bounds;
    const { layers, state } = planned.spec.open(backing, {
      rowBytesMax: bounds.messageBytesMax - changelogOverheadBytes,
      cacheBytesMax: bounds.cacheBytesMax,
      currentTimestampMs: () => this.#context?.writeTimestampMs ?? 0,
    });
    this.layered = layers;
    this.state = state;
  }

  /** The same store, opened anew over the same bytes: nothing that a processor remembered of it is left. This one must not be used any more. */
  renewed(): TaskStore {
    return new TaskStore(this.planned, this.#backing, this.#bounds);
  }

  /** Drops what is not committed. */
  discard(): void {
    this.layered.discard();
  }

  bind(context: WriteContext): void {
    this.#context = context;
  }

  /** Where to go on reading the changelog; `undefined` in a fresh store. */
  get position(): Position | undefined {
    return this.#backing.position;
  }

  /** Wall clock of the last write, epoch ms; `undefined` in a fresh store. */
  get savedAtMs(): number | undefined {
    return this.#backing.savedAtMs;
  }

  /** Moves what is uncommitted on its way: its changelog records go to `outputs`, unless they are the records of an input already. */
  seal(outputs: Outputs, { partition, queues }: SealScope): void {
    const writes = this.layered.seal();
    const { changelogTopic: topic, source } = this.planned;
    if (topic === undefined) return;
    if (source !== undefined) {
      this.#consumedTo = queues.find((queue) => queue.topic === topic)?.nextOffset;
      return;
    }
    const { format } = this.planned.spec;
    for (const write of writes) {
      const record =
        write.value === undefined
          ? { value: undefined, timestampMs: write.timestampMs }
          : format.toChangelog(write.value, write.timestampMs);
      outputs.append(topic, partition, {
        key: write.key,
        value: record.value,
        timestampMs: Math.max(0, record.timestampMs),
        headers: write.headers,
      });
    }
  }

  /** Writes what was sealed, with the changelog position after the commit. */
  async apply(position: Position | undefined): Promise<void> {
    await this.layered.apply(this.#consumedTo ?? position ?? this.position ?? 0);
  }

  /** Takes what a batch of the changelog holds below offset `to`; returns how many records that were. */
  async restore(batch: FetchedBatch, to: number): Promise<number> {
    const { planned } = this;
    const cursor = batch.cursor();
    let count = 0;
    while (cursor.next() && cursor.offset < to) {
      const entry = planned.source === undefined ? loggedEntry(planned, cursor) : inputEntry(planned, batch, cursor);
      if (entry !== undefined) this.#pending.push(entry);
      count += 1;
      if (this.#pending.length >= restoreBatchMax) await this.#flushRestored(cursor.offset + 1);
    }
    if (this.#pending.length > 0) await this.#flushRestored(Math.min(batch.nextOffset, to));
    return count;
  }

  /** Makes it ready for processors; once, after the restore. */
  async load(): Promise<void> {
    await this.layered.load();
  }

  async #flushRestored(nextOffset: number): Promise<void> {
    const entries = this.#pending;
    this.#pending = [];
    await this.layered.restore(entries, nextOffset);
  }

  async compact(): Promise<void> {
    await this.layered.compact();
  }

  async close(): Promise<void> {
    this.discard();
    await this.#backing.close();
  }
}
