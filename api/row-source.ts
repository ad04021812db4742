/** Rows of one partition here, or of several partitions at a peer, one after the other in the order of a range query. */
import { StreamError } from '../errors.ts';
import type { Entry, Range } from '../state-stores/store.ts';
import type { StoreView } from '../topology/runtime/view.ts';
import type { RowPosition } from './cursor.ts';
import { isObject, malformed, objectOf, refusalOf, stringOf } from './peer-answer.ts';
import type { PeerResponse } from './peers.ts';

export interface Row extends RowPosition {
  readonly value: Uint8Array;
}

export interface RowSource {
  next(): Promise<Row | undefined>;
  /** It has rows beyond those it delivers. */
  readonly isCut: boolean;
  close(): Promise<void>;
}

export interface RowBounds {
  readonly from: Uint8Array | undefined;
  readonly to: Uint8Array | undefined;
  readonly reverse: boolean;
  readonly limit: number;
  /** The row after which to begin. */
  readonly after: RowPosition | undefined;
}

/** Rows of a local partition from one snapshot, read lazily. One more than the limit, so that the last page is known to be the last. */
export function localRows(view: Pick<StoreView, 'partition' | 'scan'>, bounds: RowBounds): RowSource {
  const { partition } = view;
  const range = rangeOf(partition, bounds);
  const iterator = range === undefined ? undefined : view.scan(range)[Symbol.asyncIterator]();
  return {
    next: async () => {
      const result: IteratorResult<Entry, unknown> | undefined = await iterator?.next();
      if (result === undefined || result.done === true) return undefined;
      const [key, value] = result.value;
      return { partition, key, value };
    },
    isCut: false,
    close: async () => {
      await iterator?.return?.();
    },
  };
}

/** `undefined` for an empty range. */
function rangeOf(partition: number, { from, to, reverse, limit, after }: RowBounds): Range | undefined {
  let [low, high] = [from, to];
  if (after !== undefined) {
    // Rows of equal keys come in order of their partitions: up to the cursor's partition this key is done.
    const isDone = partition <= after.partition;
    const behind = Buffer.concat([after.key, Buffer.of(0)]);
    if (reverse) high = lower(high, isDone ? after.key : behind);
    else low = higher(low, isDone ? behind : after.key);
  }
  if (low !== undefined && high !== undefined && Buffer.compare(low, high) >= 0) return undefined;
  return {
    ...(low === undefined ? {} : { from: low }),
    ...(high === undefined ? {} : { to: high }),
    reverse,
    limit: limit + 1,
  };
}

function lower(a: Uint8Array | undefined, b: Uint8Array): Uint8Array {
  return a === undefined || Buffer.compare(a, b) > 0 ? b : a;
}

function higher(a: Uint8Array | undefined, b: Uint8Array): Uint8Array {
  return a === undefined || Buffer.compare(a, b) < 0 ? b : a;
}

/** Rows that a peer answered. Throws what its refusal means, `PEER_UNAVAILABLE` for an answer that is no page. */
export function peerRows(
  answer: PeerResponse,
  asked: { readonly partitions: readonly number[]; readonly limit: number },
): RowSource {
  if (answer.status !== 200) {
    const refusal = refusalOf(answer);
    throw refusal === 'key_not_found'
      ? new StreamError('PEER_UNAVAILABLE', 'the owner answers with an error')
      : refusal;
  }
  const { items, next } = objectOf(answer.body);
  if (!Array.isArray(items) || items.length > asked.limit) malformed();
  const rows = items.map((item: unknown) => rowOf(item, asked.partitions));
  const isCut = typeof next === 'string';
  if (isCut && rows.length === 0) malformed();
  let index = 0;
  return {
    next: async () => rows[index++],
    isCut,
    close: async () => undefined,
  };
}

function rowOf(item: unknown, partitions: readonly number[]): Row {
  if (!isObject(item)) malformed();
  const { partition } = item;
  if (typeof partition !== 'number' || !partitions.includes(partition)) malformed();
  return {
    partition,
    key: Buffer.from(stringOf(item['key']).replace(/^0x/, ''), 'hex'),
    value: Buffer.from(stringOf(item['value']), 'base64'),
  };
}
