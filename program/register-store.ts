/** What the register of requests keeps: the first request of each transaction, and how far each partition was read, together on disk. */
import type { RegisteredRequest } from '../api/app/request-register.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../connectors/log.ts';
import { StreamError, asStreamError, hasCode } from '../errors.ts';
import { topicPartitions, type TopicPartition } from '../schemas/record.ts';
import type { KeyValueStore, StoreOpenOptions, Stores } from '../state-stores/store.ts';

export interface RegisterStoreOptions {
  readonly log: { readonly admin: Pick<Log['admin'], 'describeTopics' | 'clusterId' | 'offsets'> };
  readonly stores: Stores;
  readonly clock: Clock;
  readonly topic: { readonly name: string };
  readonly name: string;
}

const writeBufferBytes = 4 * 1024 * 1024;
/** Kept in memory for so long, or until there are so many: whatever was not written is read again. */
const flush = { everyMs: 1_000, requestsMax: 10_000 } as const;
const formatVersion = 1;

type Requests = Map<string, RegisteredRequest>;

/** Opens what is there, or begins anew if it is of another topic or damaged. Rejects with `LOG_UNAVAILABLE`, also while there is no such topic. */
export async function openRegisterStore(options: RegisterStoreOptions): Promise<RegisterStore> {
  const { log, stores, clock, topic, name } = options;
  const described = (await log.admin.describeTopics([topic.name])).get(topic.name);
  if (described === undefined)
    throw new StreamError('LOG_UNAVAILABLE', 'the topic is not there yet', { facts: { topic: topic.name } });
  const id = described.topicId ?? `${await log.admin.clusterId()}:${topic.name}`;
  const identity = {
    application: name,
    store: 'requests',
    taskId: 'register',
    format: formatVersion,
    changelog: `${id}:${described.partitions}`,
  };
  const path = [name, 'register'];
  const open = { identity, writeBufferBytes, nowMs: () => clock.nowMs() };
  const store = await openOrMake(stores, path, open);
  const partitions = topicPartitions(topic.name, described.partitions);
  const ranges = await log.admin.offsets(partitions);
  const positions = partitions.map(({ partition }) => {
    const kept = store.get(positionKey(partition));
    return Math.max(ranges[partition]?.start ?? 0, kept === undefined ? 0 : Number(textOf(kept)));
  });
  return new RegisterStore({ store, clock, positions, topic: topic.name, destroy: () => stores.destroy(path) });
}

async function openOrMake(stores: Stores, path: readonly string[], open: StoreOpenOptions): Promise<KeyValueStore> {
  try {
    return await stores.open(path, open);
  } catch (error) {
    if (!hasCode(error, 'STORE_FOREIGN', 'STORE_CORRUPT')) throw error;
    await stores.destroy(path);
    return await stores.open(path, open);
  }
}

interface Opened {
  readonly store: KeyValueStore;
  readonly clock: Clock;
  readonly topic: string;
  /** By partition, from where to go on reading. */
  readonly positions: number[];
  readonly destroy: () => Promise<void>;
}

export class RegisterStore {
  readonly #opened: Opened;
  #fresh: Requests = new Map();
  #beingWritten: Requests = new Map();
  #writing: Promise<void> | undefined;
  /** Of what could not be written: nothing may be written after it. */
  #failure: StreamError | undefined;
  #flushedMs: number;
  #isDirty = false;

  constructor(opened: Opened) {
    this.#opened = opened;
    this.#flushedMs = opened.clock.monotonicMs();
  }

  get positions(): readonly (TopicPartition & { readonly offset: number })[] {
    const { topic, positions } = this.#opened;
    return positions.map((offset, partition) => ({ topic, partition, offset }));
  }

  get(txId: string): RegisteredRequest | undefined {
    const recent = this.#fresh.get(txId) ?? this.#beingWritten.get(txId);
    if (recent !== undefined) return recent;
    const kept = this.#opened.store.get(requestKey(txId));
    return kept === undefined ? undefined : decode(kept);
  }

  /** The first of its transaction: what is there already, or this one from now on. */
  put(txId: string, request: RegisteredRequest): RegisteredRequest {
    const first = this.get(txId) ?? request;
    if (first === request) this.#fresh.set(txId, request);
    return first;
  }

  /** Everything of the partition below it was put. */
  positionOf(partition: number): number {
    return this.#opened.positions[partition] ?? 0;
  }

  /** Everything below `offset` was put; may say less than is known. */
  advance(partition: number, offset: number): void {
    this.#opened.positions[partition] = Math.max(this.positionOf(partition), offset);
    this.#isDirty = true;
  }

  /** Between batches. Goes on while it is written, unless the one before is not yet. Rejects once something could not be written: then it is to be opened anew. */
  async flushIfDue(): Promise<void> {
    this.#checkWritten();
    const isFull = this.#fresh.size >= flush.requestsMax;
    const sinceMs = this.#opened.clock.monotonicMs() - this.#flushedMs;
    if (!this.#isDirty || (!isFull && sinceMs < flush.everyMs)) return;
    await this.#writing;
    this.#checkWritten();
    this.#writing = this.#write().catch((error: unknown) => {
      this.#failure = asStreamError(error);
    });
  }

  #checkWritten(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #write(): Promise<void> {
    const { store, clock, positions } = this.#opened;
    const batch = store.batch();
    this.#beingWritten = this.#fresh;
    this.#fresh = new Map();
    this.#isDirty = false;
    this.#flushedMs = clock.monotonicMs();
    for (const [txId, request] of this.#beingWritten) batch.put(requestKey(txId), encode(request));
    for (const [partition, offset] of positions.entries())
      batch.put(positionKey(partition), Buffer.from(String(offset)));
    await batch.write((store.position ?? 0) + 1);
    this.#beingWritten = new Map();
  }

  /** With all that can be written. */
  async close(): Promise<void> {
    await this.#writing;
    try {
      if (this.#isDirty && this.#failure === undefined) await this.#write();
    } finally {
      await this.#opened.store.close();
    }
  }

  /** Closed, and to be read from the start when it is opened again. */
  async destroy(): Promise<void> {
    await this.#writing;
    await this.#opened.store.close();
    await this.#opened.destroy();
  }
}

const requestKey = (txId: string): Buffer => Buffer.from(`r${txId}`);
const positionKey = (partition: number): Buffer => Buffer.from(`p${partition}`);

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

function encode({ offset, fingerprint, correlationId }: RegisteredRequest): Buffer {
  return Buffer.from(`${offset} ${fingerprint} ${correlationId}`);
}

function decode(bytes: Uint8Array): RegisteredRequest {
  const text = textOf(bytes);
  const [first, second] = [text.indexOf(' '), text.indexOf(' ', text.indexOf(' ') + 1)];
  return {
    offset: Number(text.slice(0, first)),
    fingerprint: text.slice(first + 1, second),
    correlationId: text.slice(second + 1),
  };
}
