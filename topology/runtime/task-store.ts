/** A store of one task: the opened bytes, its layers, the typed handle processors see, and its changelog. */
import { assert } from '../../errors.ts';
import type { RestoredEntry, StoreLayers } from '../../state-stores/store-layers.ts';
import type { KeyValueStore, Position } from '../../state-stores/store.ts';
import type { FetchedBatch } from '../../connectors/log.ts';
import type { PlannedStore } from '../plan.ts';
import type { Outputs } from './outputs.ts';

/** Whose record is being processed: gives plain puts their timestamp. */
export interface WriteContext {
  readonly writeTimestampMs: number;
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

  /** Moves what is uncommitted on its way: its changelog records go to `outputs`. */
  seal(outputs: Outputs, partition: number): void {
    const writes = this.layered.seal();
    const topic = this.planned.changelogTopic;
    if (topic === undefined) return;
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
    await this.layered.apply(position ?? this.position ?? 0);
  }

  /** Takes a batch of the changelog; returns how many records it held. */
  async restore(batch: FetchedBatch): Promise<number> {
    const { format } = this.planned.spec;
    const cursor = batch.cursor();
    let count = 0;
    while (cursor.next()) {
      const key = cursor.key();
      assert(key !== undefined, `changelog of ${this.name} holds a record without key`);
      const value = cursor.value();
      this.#pending.push({
        key,
        value: value === undefined ? undefined : format.fromChangelog(value, cursor.timestampMs),
        timestampMs: cursor.timestampMs,
      });
      count += 1;
      if (this.#pending.length >= restoreBatchMax) await this.#flushRestored(cursor.offset + 1);
    }
    if (this.#pending.length > 0) await this.#flushRestored(batch.nextOffset);
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
