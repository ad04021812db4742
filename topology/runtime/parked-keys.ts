/** Keys of one source that wait: a record of theirs failed, and those that came after it are put aside until that one is decided on. */
import { assert } from '../../errors.ts';
import { deadLetterId, discardedHeader, replayOfHeader } from '../../schemas/dead-letter.ts';
import type { Header } from '../../schemas/record.ts';
import type { SourceNode } from '../graph.ts';
import { parkedStoreOf, type ParkedState, type ParkedTotals, type WaitingKey } from '../parked-store.ts';
import { PartitionQueue, type QueueScope } from './partition-queue.ts';
import { physicalTopicName } from './plan-tasks.ts';
import { encodeRecord, fetchedRecord } from './single-record.ts';
import type { TaskOptions } from './task-options.ts';

/**
 * What is to happen to a record: it is processed; it was put aside; or it only told others to go on, and is dropped itself.
 */
export type Meeting = 'process' | 'parked' | 'dropped';

const none: ParkedTotals = { kind: 'totals', keys: 0, records: 0, first: 0, next: 0 };

/** What rows are about: the first byte of their keys. */
const about = { key: 0, record: 1, totals: 2, released: 3 } as const;
const totalsKey = Buffer.of(about.totals);

interface Waiting extends Omit<WaitingKey, 'kind'> {
  readonly key: Uint8Array;
}

/** For each source of a task that has a store for them. */
export function parkedKeysOf(
  options: Pick<TaskOptions, 'plan' | 'subTopology' | 'partition' | 'stores'>,
  scope: QueueScope,
): ReadonlyMap<SourceNode, ParkedKeys> {
  const found = new Map<SourceNode, ParkedKeys>();
  for (const source of options.subTopology.nodes) {
    const store = source.kind === 'source' ? options.stores.get(parkedStoreOf(source) ?? '') : undefined;
    if (source.kind !== 'source' || store === undefined) continue;
    const { applicationId } = options.plan;
    const { partition } = options;
    found.set(source, new ParkedKeys(store.state as ParkedState, { source, applicationId, partition, scope }));
  }
  return found;
}

interface ParkedKeysOptions {
  readonly source: SourceNode;
  readonly applicationId: string;
  readonly partition: number;
  readonly scope: QueueScope;
}

/** Everything is in the store, so that it holds with the task's commit. */
export class ParkedKeys {
  readonly #store: ParkedState;
  readonly #options: ParkedKeysOptions;
  /** Of the topics that only this application reads: the topic whose order its records belong to. */
  readonly #origins = new Map<string, string>();
  /** By topic: the parked record that is processed now is at the head of one of them. */
  readonly #released = new Map<string, PartitionQueue>();

  constructor(store: ParkedState, options: ParkedKeysOptions) {
    this.#store = store;
    this.#options = options;
    for (const topic of options.source.topics) {
      const { name, internal } = topic;
      const physical = physicalTopicName(options.applicationId, topic);
      if (internal !== undefined) this.#origins.set(physical, internal === 'replay' ? name : physical);
    }
  }

  /** Keys that wait, and records put aside for them. */
  get totals(): ParkedTotals {
    const row = this.#store.get(totalsKey);
    return row?.kind === 'totals' ? row : none;
  }

  /** Before the head of a queue is processed. */
  meet(queue: PartitionQueue): Meeting {
    if (this.#released.get(queue.topic) === queue) return 'process';
    const isPrivate = this.#origins.has(queue.topic);
    const found = this.#find(queue);
    // As a rule nobody waits: then a record of a user's topic is not looked at.
    if (found === undefined && !isPrivate) return 'process';
    const { headers } = queue.raw();
    const isAwaited = found !== undefined && waitsFor(found, headers);
    if (isPrivate && headers.some(({ key }) => key === discardedHeader)) {
      if (isAwaited) this.#release(found);
      return 'dropped';
    }
    if (found === undefined || isAwaited) return 'process';
    this.#park(queue, found);
    return 'parked';
  }

  /** The head of a queue had its effect, or never will: who waited for it goes on. */
  settled(queue: PartitionQueue): void {
    const found = this.#find(queue);
    if (found === undefined) return;
    if (this.#released.get(queue.topic) === queue) this.#forget(found);
    else this.#release(found);
  }

  /** The head of a queue became a dead letter: from now on its key waits for that. */
  failed(queue: PartitionQueue): void {
    const key = this.#keyOf(queue);
    if (key === undefined) return;
    const { topic, partition, headOffset: offset } = queue;
    const letterId = deadLetterId(this.#options.applicationId, { topic, partition, offset });
    const found = this.#waiting(key);
    if (found === undefined) this.#setTotals({ keys: this.totals.keys + 1 });
    const before = found ?? { key, first: 0, next: 0 };
    const isReleased = this.#released.get(queue.topic) === queue;
    if (isReleased) this.#leaveLine();
    this.#keep({ ...(isReleased ? this.#take(before) : before), letterId });
  }

  /** The earliest parked record that waits no more, at the head of a queue; `undefined` if there is none. */
  next(): PartitionQueue | undefined {
    for (;;) {
      const { first, next } = this.totals;
      if (first === next) return undefined;
      const line = this.#store.get(rowKey(about.released, undefined, first));
      assert(line?.kind === 'released', 'each place of the line is a key');
      const waiting = this.#waiting(line.key);
      assert(waiting !== undefined, 'a key in the line has records');
      const record = this.#store.get(rowKey(about.record, line.key, waiting.first));
      assert(record?.kind === 'record', 'records of a key follow each other');
      const queue = this.#queueOf(record.topic);
      if (queue.isEmpty) queue.add(fetchedRecord(queue, Buffer.from(record.batch)));
      if (!queue.isEmpty) return queue;
      // It has no time by which it could be processed, and was counted as dropped.
      this.#forget(waiting);
    }
  }

  #queueOf(topic: string): PartitionQueue {
    const present = this.#released.get(topic);
    if (present !== undefined) return present;
    const { partition, source, scope } = this.#options;
    const made = new PartitionQueue(topic, partition, { source, scope, offset: 0, partitionTimeMs: -1 });
    this.#released.set(topic, made);
    return made;
  }

  #park(queue: PartitionQueue, waiting: Waiting): void {
    const batch = encodeRecord(queue.raw(), queue.headOffset);
    this.#store.put(rowKey(about.record, waiting.key, waiting.next), { kind: 'record', topic: queue.topic, batch });
    this.#keep({ ...waiting, next: waiting.next + 1 });
    this.#setTotals({ records: this.totals.records + 1 });
  }

  /** What waits behind a record that is done with is processed from now on. */
  #release({ key, first, next }: Waiting): void {
    if (first === next) {
      this.#free(key);
      return;
    }
    const { next: place } = this.totals;
    this.#store.put(rowKey(about.released, undefined, place), { kind: 'released', key });
    this.#setTotals({ next: place + 1 });
    this.#keep({ key, first, next });
  }

  /** The first record of the key that is first in the line is done with. */
  #forget(waiting: Waiting): void {
    const left = this.#take(waiting);
    if (left.first < left.next) this.#keep(left);
    else {
      this.#leaveLine();
      this.#free(left.key);
    }
  }

  #take(waiting: Waiting): Waiting {
    this.#store.delete(rowKey(about.record, waiting.key, waiting.first));
    this.#setTotals({ records: this.totals.records - 1 });
    return { ...waiting, first: waiting.first + 1 };
  }

  #leaveLine(): void {
    const { first } = this.totals;
    this.#store.delete(rowKey(about.released, undefined, first));
    this.#setTotals({ first: first + 1 });
  }

  #keep({ key, ...waiting }: Waiting): void {
    this.#store.put(rowKey(about.key, key), { kind: 'key', ...waiting });
  }

  #free(key: Uint8Array): void {
    this.#store.delete(rowKey(about.key, key));
    this.#setTotals({ keys: this.totals.keys - 1 });
  }

  #setTotals(changed: Partial<ParkedTotals>): void {
    this.#store.put(totalsKey, { ...this.totals, ...changed });
  }

  /** `undefined`: the head's key does not wait. */
  #find(queue: PartitionQueue): Waiting | undefined {
    const key = this.totals.keys === 0 ? undefined : this.#keyOf(queue);
    return key === undefined ? undefined : this.#waiting(key);
  }

  #waiting(key: Uint8Array): Waiting | undefined {
    const row = this.#store.get(rowKey(about.key, key));
    if (row?.kind !== 'key') return undefined;
    const { kind: _, ...waiting } = row;
    return { key, ...waiting };
  }

  /** The order that the head belongs to: its key in its topic, or in the topic it once came from. `undefined` without a key. */
  #keyOf(queue: PartitionQueue): Uint8Array | undefined {
    const { key } = queue.raw();
    if (key === undefined) return undefined;
    const topic = Buffer.from(this.#origins.get(queue.topic) ?? queue.topic);
    return Buffer.concat([Buffer.of(topic.length), topic, key]);
  }
}

/** Over all sources of a task. */
export function parkedTotals(all: Iterable<ParkedKeys>): { readonly keys: number; readonly records: number } {
  let [keys, records] = [0, 0];
  for (const { totals } of all) {
    keys += totals.keys;
    records += totals.records;
  }
  return { keys, records };
}

function rowKey(kind: (typeof about)[keyof typeof about], key: Uint8Array | undefined, place?: number): Buffer {
  const parts: Uint8Array[] = [Buffer.of(kind)];
  if (place !== undefined) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(place));
    parts.push(bytes);
  }
  if (key !== undefined) parts.push(key);
  return Buffer.concat(parts);
}

/** Whether the record with these headers is what the key waits for. */
function waitsFor({ letterId }: Waiting, headers: readonly Header[]): boolean {
  const replayed = headers.findLast(({ key }) => key === replayOfHeader)?.value;
  return letterId !== undefined && replayed !== undefined && Buffer.from(replayed).toString('utf8') === letterId;
}
