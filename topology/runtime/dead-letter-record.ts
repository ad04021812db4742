/** Reads a dead letter back: the record as it was, and why it failed. */
import { discardedHeader, parksKeyHeader, reasonHeader, replayOfHeader } from '../../schemas/dead-letter.ts';
import type { Header } from '../../schemas/record.ts';
import type { ReadRecord } from './read-range.ts';

/** The first of the headers that a dead letter adds; the record's own are before it. */
const firstAdded = '__streams.errors.exception';

export interface DeadLetter {
  /** `<partition>-<offset>` in the dead-letter topic. */
  readonly id: string;
  /** `application|topic|partition|offset` of the record: one failure, however often it was dead-lettered. */
  readonly originId: string;
  readonly application: string;
  readonly task: string;
  readonly node: string;
  readonly code: string;
  /** What exactly was wrong, as the failure said it: a word that programs may match. */
  readonly reason: string | undefined;
  readonly exception: string;
  readonly message: string;
  readonly stack: string;
  readonly attempts: number;
  readonly failedAtMs: number;
  readonly origin: { readonly topic: string; readonly partition: number; readonly offset: number };
  /** Of an earlier dead letter, if this record was a replay. */
  readonly replayOf: string | undefined;
  /** Later records of its key wait until it is decided on. */
  readonly parksKey: boolean;
  readonly key: Uint8Array | undefined;
  readonly value: Uint8Array | undefined;
  readonly timestampMs: number;
  /** The record's own. */
  readonly headers: readonly Header[];
}

/** `undefined` for a record that is no dead letter of ours. */
export function readDeadLetter(record: ReadRecord, partition: number): DeadLetter | undefined {
  const at = record.headers.findLastIndex(({ key }) => key === firstAdded);
  if (at < 0) return undefined;
  const added = new Map(record.headers.slice(at).map(({ key, value }) => [key, text(value)]));
  const headers = record.headers.slice(0, at);
  const read = (name: string): string => added.get(name) ?? '';
  if (read('rivulet.dlq.id') === '') return undefined;
  return {
    id: `${String(partition)}-${String(record.offset)}`,
    originId: read('rivulet.dlq.id'),
    application: read('rivulet.dlq.application'),
    task: read('rivulet.dlq.task'),
    node: read('rivulet.dlq.node'),
    code: read('rivulet.dlq.code'),
    reason: added.get(reasonHeader),
    exception: read(firstAdded),
    message: read('__streams.errors.message'),
    stack: read('__streams.errors.stacktrace'),
    attempts: Number(read('rivulet.dlq.attempts')),
    failedAtMs: Number(read('rivulet.dlq.failed-at')),
    origin: {
      topic: read('__streams.errors.topic'),
      partition: Number(read('__streams.errors.partition')),
      offset: Number(read('__streams.errors.offset')),
    },
    replayOf: text(headers.findLast(({ key }) => key === replayOfHeader)?.value) || undefined,
    parksKey: added.has(parksKeyHeader),
    key: record.key,
    value: record.value,
    timestampMs: Number(read('rivulet.dlq.timestamp')),
    headers,
  };
}

/** Of the record that is processed again. */
export function replayHeaders({ headers, originId }: DeadLetter): readonly Header[] {
  return [
    ...headers.filter(({ key }) => key !== replayOfHeader),
    { key: replayOfHeader, value: Buffer.from(originId) },
  ];
}

/** Of the record that tells those behind a discarded one to go on. */
export function discardHeaders(letter: DeadLetter): readonly Header[] {
  return [...replayHeaders(letter), { key: discardedHeader, value: undefined }];
}

function text(value: Uint8Array | undefined): string {
  return value === undefined ? '' : Buffer.from(value).toString('utf8');
}
