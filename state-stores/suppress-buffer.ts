/**
 * Changes that wait to be sent on: in memory by time and key, and in a store and its changelog in Kafka Streams' format.
 */
import type { Header } from '../schemas/record.ts';
import { bytesSerde, type Serde } from '../schemas/serde.ts';
import { fromBinaryKey, toBinaryKey } from './binary-key.ts';
import { readUint64, writeUint64 } from './group-key.ts';
import { KeyIndex } from './key-index.ts';
import { LayeredStore, type Companion } from './layered-store.ts';
import { changelogConfigs, plainFormat, type StoreScope, type StoreSpec } from './spec.ts';
import { checkName } from '../schemas/topic.ts';
import type { KeyValueStore } from './store.ts';
import { decode, encodeKey, encodeValue } from './typed-rows.ts';

import { decodeWaiting, encodeWaiting, type SuppressedOrigin, type Waiting } from './suppress-format.ts';

/** A change with what is sent on with it. */
export interface SuppressedChange<V> {
  readonly newValue: V | null;
  readonly oldValue: V | null;
  readonly timestampMs: number;
  readonly headers: readonly Header[];
}

export interface SuppressState<K, V> {
  readonly count: number;
  /** As Kafka Streams counts them. */
  readonly bytes: number;
  /** The time of the first that waits; `Infinity`: none does. */
  readonly firstMs: number;
  /** Puts a change; one of the same key is replaced, and keeps its time. */
  put(key: K, change: SuppressedChange<V>, at: { readonly timeMs: number; readonly origin: SuppressedOrigin }): void;
  /** The first by time, then by the bytes of the key. */
  first(): { readonly key: K; readonly change: SuppressedChange<V> } | undefined;
  removeFirst(): void;
  /** What the row of a key was before the change that waits; `undefined`: none waits. */
  prior(key: K): { readonly value: V | null } | undefined;
}

export interface SuppressBufferOptions<K, V> {
  readonly key: Serde<K>;
  readonly value: Serde<V>;
  /** `false`: not logged; configurations are added to those of the changelog. */
  readonly changelog?: boolean | Readonly<Record<string, string>>;
}

const timeBytes = 8;

const changelogHeaders: readonly Header[] = Object.freeze([{ key: 'v', value: Uint8Array.of(3) }]);

/** Declares the buffer of a suppression. Throws `TOPOLOGY_INVALID` for a bad name. */
export function defineSuppressBuffer<K, V>(
  name: string,
  { key, value, changelog }: SuppressBufferOptions<K, V>,
): StoreSpec<K, Uint8Array, SuppressState<K, V>> {
  return Object.freeze({
    name: checkName('store', name),
    kind: 'suppress-buffer',
    key,
    value: bytesSerde,
    format: plainFormat,
    changelog: changelogConfigs(changelog ?? true),
    open: (backing: KeyValueStore, { rowBytesMax }: StoreScope) => {
      const state = new SuppressBuffer<K, V>(backing, { name, rowBytesMax, key, value });
      return { layers: state.layers, state };
    },
  });
}

class SuppressBuffer<K, V> implements SuppressState<K, V>, Companion {
  readonly layers: LayeredStore;
  readonly #name: string;
  readonly #key: Serde<K>;
  readonly #value: Serde<V>;
  readonly #rows = new Map<string, Waiting>();
  /** Time ‖ key of each row. */
  readonly #order = new KeyIndex();
  #bytes = 0;
  /** What was replaced since `beginAttempt`; `undefined` outside of attempts. */
  #attempt: { readonly name: string; readonly before: Waiting | undefined }[] | undefined;

  constructor(
    backing: KeyValueStore,
    options: { readonly name: string; readonly rowBytesMax: number; readonly key: Serde<K>; readonly value: Serde<V> },
  ) {
    const { name, rowBytesMax } = options;
    this.#name = name;
    this.#key = options.key;
    this.#value = options.value;
    this.layers = new LayeredStore(backing, { name, rowBytesMax, companion: this });
  }

  load(key: Uint8Array, stored: Uint8Array): void {
    const name = toBinaryKey(key);
    this.#remove(name);
    this.#insert(name, decodeWaiting(stored));
  }

  beginAttempt(): void {
    this.#attempt = [];
  }

  endAttempt(): void {
    this.#attempt = undefined;
  }

  undoAttempt(): void {
    const changes = this.#attempt ?? [];
    this.#attempt = undefined;
    for (const { name, before } of changes.toReversed()) {
      this.#remove(name);
      if (before !== undefined) this.#insert(name, before);
    }
  }

  get count(): number {
    return this.#rows.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get firstMs(): number {
    const first = this.#order.first;
    return first === undefined ? Infinity : timeOf(first);
  }

  put(key: K, change: SuppressedChange<V>, at: { readonly timeMs: number; readonly origin: SuppressedOrigin }): void {
    const bytes = encodeKey(this.#name, this.#key, key);
    const name = toBinaryKey(bytes);
    const present = this.#rows.get(name);
    const old = this.#encode(change.oldValue);
    const prior = present === undefined ? old : present.prior;
    const waiting: Waiting = {
      timeMs: present?.timeMs ?? at.timeMs,
      prior: prior !== undefined && old !== undefined && isEqual(prior, old) ? old : prior,
      old,
      new: this.#encode(change.newValue),
      timestampMs: change.timestampMs,
      headers: change.headers,
      origin: at.origin,
    };
    this.layers.put(bytes, encodeWaiting(waiting), change.timestampMs, changelogHeaders);
    this.#attempt?.push({ name, before: present });
    this.#remove(name);
    this.#insert(name, waiting);
  }

  first(): { readonly key: K; readonly change: SuppressedChange<V> } | undefined {
    const first = this.#order.first;
    const row = first === undefined ? undefined : this.#rows.get(first.slice(timeBytes));
    if (first === undefined || row === undefined) return undefined;
    const { timestampMs, headers } = row;
    const change = { newValue: this.#decode(row.new), oldValue: this.#decode(row.old), timestampMs, headers };
    return { key: decode(this.#name, this.#key, fromBinaryKey(first.slice(timeBytes))), change };
  }

  removeFirst(): void {
    const first = this.#order.first;
    if (first === undefined) return;
    const name = first.slice(timeBytes);
    const row = this.#rows.get(name);
    this.layers.put(fromBinaryKey(name), undefined, row?.timestampMs ?? 0);
    this.#attempt?.push({ name, before: row });
    this.#remove(name);
  }

  prior(key: K): { readonly value: V | null } | undefined {
    const row = this.#rows.get(toBinaryKey(encodeKey(this.#name, this.#key, key)));
    return row === undefined ? undefined : { value: this.#decode(row.prior) };
  }

  #insert(name: string, row: Waiting): void {
    this.#rows.set(name, row);
    this.#order.add(timePrefix(row.timeMs) + name);
    this.#bytes += sizeOf(name.length, row);
  }

  #remove(name: string): void {
    const row = this.#rows.get(name);
    if (row === undefined) return;
    this.#rows.delete(name);
    this.#order.delete(timePrefix(row.timeMs) + name);
    this.#bytes -= sizeOf(name.length, row);
  }

  #encode(value: V | null): Uint8Array | undefined {
    return value === null ? undefined : encodeValue(this.#name, this.#value, value);
  }

  #decode(bytes: Uint8Array | undefined): V | null {
    return bytes === undefined ? null : decode(this.#name, this.#value, bytes);
  }
}

function timePrefix(timeMs: number): string {
  const bytes = Buffer.allocUnsafe(timeBytes);
  writeUint64(bytes, timeMs, 0);
  return toBinaryKey(bytes);
}

function timeOf(name: string): number {
  return readUint64(Buffer.from(name.slice(0, timeBytes), 'latin1'), 0);
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** As Kafka Streams estimates it, so that the same limits hold the same. */
function sizeOf(keyBytes: number, { prior, old, new: latest, headers, origin }: Waiting): number {
  // Of the context: timestamp, offset, topic, partition.
  let bytes = timeBytes + keyBytes + (8 + 8 + origin.topic.length + 4);
  bytes += lengthOf(prior) + lengthOf(latest);
  if (old !== prior) bytes += lengthOf(old);
  for (const { key, value } of headers) bytes += key.length + lengthOf(value);
  return bytes;
}

function lengthOf(bytes: Uint8Array | undefined): number {
  return bytes === undefined ? 0 : bytes.length;
}
