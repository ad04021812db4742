/**
 * A change that waits, as the changelog of a suppression has it under its key, with a header `v` = 3: Kafka Streams' format.
 *
 *     context ‖ prior ‖ old ‖ new ‖ time (8)
 *     context    timestamp (8) ‖ offset (8) ‖ topic ‖ partition (4) ‖ number of headers (4) ‖ for each: key ‖ value
 *
 * Topic, header keys and all values have their length (4) before them; -1 means absent, -2 for `old` the same as `prior`.
 */
import { StreamError } from '../errors.ts';
import type { Header } from '../schemas/record.ts';
import { int64Serde } from '../schemas/serde.ts';
import { asBuffer } from './group-key.ts';

/** Where a change came from. */
export interface SuppressedOrigin {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

export interface Waiting {
  /** By which it is sent on. */
  readonly timeMs: number;
  /** What the row was before the first change that it replaces. */
  readonly prior: Uint8Array | undefined;
  readonly old: Uint8Array | undefined;
  readonly new: Uint8Array | undefined;
  readonly timestampMs: number;
  readonly headers: readonly Header[];
  readonly origin: SuppressedOrigin;
}

const absent = -1;
const sameAsPrior = -2;

export function encodeWaiting({ timeMs, prior, old, new: latest, timestampMs, headers, origin }: Waiting): Buffer {
  const parts = [int64Serde.serialize(timestampMs), int64Serde.serialize(origin.offset)];
  parts.push(...sized(Buffer.from(origin.topic, 'utf8')), int32(origin.partition), int32(headers.length));
  for (const { key, value } of headers) parts.push(...sized(Buffer.from(key, 'utf8')), ...sized(value));
  parts.push(...sized(prior));
  if (old !== undefined && old === prior) parts.push(int32(sameAsPrior));
  else parts.push(...sized(old));
  parts.push(...sized(latest), int64Serde.serialize(timeMs));
  return Buffer.concat(parts);
}

/** Throws `STORE_CORRUPT`. */
export function decodeWaiting(bytes: Uint8Array): Waiting {
  const reader = new Reader(bytes);
  const timestampMs = reader.int64();
  const offset = reader.int64();
  const topic = Buffer.from(reader.sized() ?? []).toString('utf8');
  const partition = reader.int32();
  const headers: Header[] = [];
  for (let left = reader.int32(); left > 0; left -= 1)
    headers.push({ key: Buffer.from(reader.sized() ?? []).toString('utf8'), value: reader.sized() });
  const prior = reader.sized();
  const old = reader.sized(prior);
  const latest = reader.sized();
  return {
    timeMs: reader.int64(),
    prior,
    old,
    new: latest,
    timestampMs,
    headers,
    origin: { topic, partition, offset },
  };
}

function sized(bytes: Uint8Array | undefined): readonly Uint8Array[] {
  return bytes === undefined ? [int32(absent)] : [int32(bytes.length), bytes];
}

function int32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeInt32BE(value, 0);
  return bytes;
}

class Reader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = asBuffer(bytes);
  }

  int64(): number {
    return int64Serde.deserialize(this.#take(8));
  }

  int32(): number {
    return this.#take(4).readInt32BE(0);
  }

  /** `same`: what a length of -2 stands for. */
  sized(same?: Uint8Array): Uint8Array | undefined {
    const length = this.int32();
    if (length === absent) return undefined;
    return length === sameAsPrior ? same : this.#take(length);
  }

  #take(length: number): Buffer {
    const end = this.#offset + length;
    if (length < 0 || end > this.#bytes.length)
      throw new StreamError('STORE_CORRUPT', 'a suppressed change is damaged');
    const taken = this.#bytes.subarray(this.#offset, end);
    this.#offset = end;
    return taken;
  }
}
