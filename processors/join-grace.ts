/**
 * Keeps records of a stream back until the table they are to be joined with has had its time: by time, then key, then arrival. In the store under
 *
 *     key      int64 timestamp ‖ key ‖ int32 number among the records of that time and key
 *     value    int32 headers ‖ for each: int32 length ‖ key ‖ int32 length, -1 for none ‖ value ‖ and after them the record's value
 */
import { StreamError } from '../errors.ts';
import type { Header } from '../schemas/record.ts';
import type { Serde } from '../schemas/serde.ts';
import type { OrderedState } from '../state-stores/typed-store.ts';
import type { AnyRecord, CreateNode } from './node.ts';

export interface JoinGrace {
  /** Name of the store. */
  readonly store: string;
  /** A record waits until stream time is this far ahead of it, ms. */
  readonly graceMs: number;
  readonly key: Serde<unknown>;
  readonly value: Serde<unknown>;
}

type WaitingState = OrderedState<Uint8Array, Uint8Array>;

const timeBytes = 8;
const numberBytes = 4;

/** The step that `create` makes gets each record once its grace is over; at once if that is so already, or without a key or value. */
export function withGrace(create: CreateNode, grace: JoinGrace): CreateNode {
  return (context) => {
    const waiting = context.store(grace.store) as WaitingState;
    const latest = context.savedTime();
    const join = create(context);
    return {
      process: (record) => {
        const { key, value, timestampMs } = record;
        if (key === null || value === null || timestampMs < latest.ms - grace.graceMs) {
          join.process(record);
          return;
        }
        latest.ms = Math.max(latest.ms, timestampMs);
        keep(waiting, grace, record);
        const endMs = latest.ms - grace.graceMs;
        if (endMs < 0) return;
        for (const [row, written] of waiting.range({ to: int64(endMs + 1) })) {
          join.process(readRecord(grace, row, written));
          waiting.delete(row);
        }
      },
    };
  };
}

function keep(waiting: WaitingState, { key: keySerde, value: valueSerde }: JoinGrace, record: AnyRecord): void {
  const prefix = Buffer.concat([int64(record.timestampMs), keySerde.serialize(record.key)]);
  let number = 0;
  // Rows of longer keys that begin alike lie among them.
  for (const [row] of waiting.prefix(prefix))
    if (row.length === prefix.length + numberBytes) number = Buffer.from(row).readUInt32BE(prefix.length) + 1;
  const row = Buffer.concat([prefix, int32(number)]);
  waiting.put(row, Buffer.concat([...writeHeaders(record.headers), valueSerde.serialize(record.value)]));
}

function readRecord({ key, value }: JoinGrace, row: Uint8Array, written: Uint8Array): AnyRecord {
  if (row.length < timeBytes + numberBytes) throw damaged();
  const { headers, rest } = readHeaders(Buffer.from(written));
  return {
    key: key.deserialize(row.subarray(timeBytes, row.length - numberBytes)),
    value: value.deserialize(rest),
    timestampMs: Number(Buffer.from(row.subarray(0, timeBytes)).readBigInt64BE(0)),
    headers,
  };
}

function writeHeaders(headers: readonly Header[]): readonly Uint8Array[] {
  const parts: Uint8Array[] = [int32(headers.length)];
  for (const { key, value } of headers) {
    const name = Buffer.from(key, 'utf8');
    parts.push(int32(name.length), name, int32(value === undefined ? -1 : value.length), value ?? new Uint8Array());
  }
  return parts;
}

function readHeaders(bytes: Buffer): { readonly headers: readonly Header[]; readonly rest: Uint8Array } {
  let at = 0;
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw damaged();
    at += length;
    return bytes.subarray(at - length, at);
  };
  const headers: Header[] = [];
  for (let left = take(4).readInt32BE(0); left > 0; left -= 1) {
    const key = take(take(4).readInt32BE(0)).toString('utf8');
    const length = take(4).readInt32BE(0);
    headers.push({ key, value: length < 0 ? undefined : take(length) });
  }
  return { headers, rest: bytes.subarray(at) };
}

function int64(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(timeBytes);
  bytes.writeBigInt64BE(BigInt(value), 0);
  return bytes;
}

function int32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(numberBytes);
  bytes.writeInt32BE(value, 0);
  return bytes;
}

function damaged(): StreamError {
  return new StreamError('STORE_CORRUPT', 'not a readable row of what waits to be joined');
}
