/** Records of the change topics, written short. */
import { readFileSync } from 'node:fs';
import type { CustomerChange, SourceChange } from '../../../schemas/app/customer/change.ts';
import type { SourceSystem } from '../../../schemas/app/customer/fields.ts';
import type { DecodeResult, ParsedRecord } from '../../../processors/app/customer/change-input.ts';
import { canonicalJson } from '../../../schemas/serde.ts';
import { isRejection } from '../../../processors/app/customer/rejection.ts';
import { decodeChange, type DecodeOptions, type RawRecord } from '../../../processors/app/customer/decode.ts';

/** One Kafka record of a captured sample. */
export interface SampleRecord {
  readonly topic: string;
  readonly offset: string;
  readonly timestamp: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly key: unknown;
  readonly value: unknown;
}

/** The records of `test/fixtures/debezium/<name>.json`, in order. */
export function sample(name: string): readonly SampleRecord[] {
  const url = new URL(`../../fixtures/debezium/${name}.json`, import.meta.url);
  return (JSON.parse(readFileSync(url, 'utf8')) as { records: SampleRecord[] }).records;
}

const bytes = (value: unknown): Uint8Array | undefined =>
  value === null || value === undefined ? undefined : Buffer.from(JSON.stringify(value));

export function headersOf(headers: Readonly<Record<string, string>>): RawRecord['headers'] {
  return Object.entries(headers).map(([key, value]) => ({ key, value: Buffer.from(value) }));
}

export function rawSample(record: SampleRecord, source: SourceSystem): RawRecord {
  return {
    source,
    key: bytes(record.key),
    value: bytes(record.value),
    headers: headersOf(record.headers),
    timestampMs: Number(record.timestamp),
  };
}

/** The samples of Avro show a `bigint` as text that ends in `n`. */
export function withBigints(value: unknown): unknown {
  if (typeof value === 'string') return /^-?\d+n$/.test(value) ? BigInt(value.slice(0, -1)) : value;
  if (Array.isArray(value)) return value.map(withBigints);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, withBigints(entry)]));
}

export function parsedSample(record: SampleRecord, source: SourceSystem): ParsedRecord {
  return {
    source,
    key: withBigints(record.key),
    value: withBigints(record.value),
    headers: headersOf(record.headers),
    timestampMs: Number(record.timestamp),
  };
}

/** 2026-01-01T00:00:00Z in milliseconds: the records' own time unless a test says otherwise. */
export const baseMs = 1_767_225_600_000;

export interface Written {
  readonly source?: SourceSystem;
  /** An object becomes JSON, text stays as it is. */
  readonly key?: unknown;
  /** Likewise; `undefined` is a tombstone. */
  readonly value?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timestampMs?: number;
}

export function decodeWritten(record: Written, options?: DecodeOptions): DecodeResult {
  const raw = (value: unknown): Uint8Array | undefined =>
    typeof value === 'string' ? Buffer.from(value) : bytes(value);
  return decodeChange(
    {
      source: record.source ?? 'system_a',
      key: raw(record.key),
      value: raw(record.value),
      headers: headersOf(record.headers ?? {}),
      timestampMs: record.timestampMs ?? baseMs,
    },
    options,
  );
}

/** The changes of a record that must decode. */
export function changesOf(result: DecodeResult): readonly SourceChange[] {
  if (result.kind !== 'ok') throw new Error(`not decoded: ${JSON.stringify(result)}`);
  return result.changes;
}

/** The only change of a record that must decode to one that is no tombstone. */
export function changeOf(result: DecodeResult): CustomerChange {
  const [change] = changesOf(result);
  if (change === undefined || change.op === 'TOMBSTONE') throw new Error('no change');
  return change;
}

export interface RowEvent {
  readonly source?: SourceSystem;
  readonly id: string | number;
  readonly operation?: string;
  readonly eventId?: string;
  readonly lastUpdated?: string;
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** A poller's event at the edge, as its JSON value. */
export function pollerEvent({ source = 'system_a', id, operation = 'UPDATE', ...rest }: RowEvent): object {
  const lastUpdated = rest.lastUpdated ?? '2026-01-01T00:00:00Z';
  return {
    eventId: rest.eventId ?? `${source}-${String(id)}-${lastUpdated}`,
    source,
    operation,
    timestamp: lastUpdated,
    payload: { [source === 'system_a' ? 'id' : 'uuid']: id, lastUpdated, ...rest.fields },
  };
}

/** The change that a poller's event means. */
export function polled(event: RowEvent): CustomerChange {
  return changeOf(decodeWritten({ source: event.source ?? 'system_a', value: pollerEvent(event) }));
}

export interface WrittenChange {
  readonly source: SourceSystem;
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

/** As a source would write it: tombstones by key alone, everything else as canonical JSON. */
export function written(change: SourceChange): WrittenChange {
  const column = change.source === 'system_a' ? 'id' : 'uuid';
  return {
    source: change.source,
    key: Buffer.from(JSON.stringify({ [column]: change.sourceId })),
    value: change.op === 'TOMBSTONE' ? undefined : Buffer.from(canonicalJson(change) ?? ''),
  };
}

/** What the merge makes of a written change; nothing if it is refused. */
export function decoded(
  record: Pick<RawRecord, 'source' | 'key' | 'value'>,
  timestampMs: number,
): readonly SourceChange[] {
  const result = decodeChange({ ...record, headers: [], timestampMs });
  return isRejection(result) || result.kind === 'skip' ? [] : result.changes;
}
