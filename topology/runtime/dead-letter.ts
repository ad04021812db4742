/** The record that stands for one that could not be handled: original bytes, with the reason in headers. */
import { StreamError, hasCode } from '../../errors.ts';
import type { Header } from '../../schemas/record.ts';
import type { Outputs } from './outputs.ts';
import type { RawRecord } from './partition-queue.ts';

/** Longest message or stack kept in a header, in UTF-16 units; and where the record hardly fits by itself. */
const textMax = { usual: 4_000, tight: 200 } as const;

export interface DeadLetterCause {
  readonly applicationId: string;
  readonly taskId: string;
  readonly node: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestampMs: number;
  readonly error: unknown;
  readonly failedAtMs: number;
  /** How often the record was tried. */
  readonly attempts: number;
}

/** Appends a dead letter; where its headers are what makes it too large, with shorter ones. Throws `RECORD_TOO_LARGE`. */
export function appendDeadLetter(
  outputs: Outputs,
  target: { readonly topic: string; readonly partition: number },
  { record, cause }: { readonly record: RawRecord; readonly cause: DeadLetterCause },
): void {
  const append = (headers: readonly Header[]): void => {
    // Its own time: with the original one (in a header) the topic might refuse it, or drop it as long expired.
    outputs.append(target.topic, target.partition, { ...record, timestampMs: cause.failedAtMs, headers });
  };
  try {
    append(deadLetterHeaders(record.headers, cause));
  } catch (error) {
    if (!hasCode(error, 'RECORD_TOO_LARGE')) throw error;
    append(deadLetterHeaders(record.headers, cause, textMax.tight));
  }
}

/**
 * Headers of a dead letter: the original ones, then Kafka Streams' own names (KIP-1034, Kafka Streams 4.2), then ours.
 * `rivulet.dlq.id` is the same however often the record fails, so that one failure is one dead letter.
 */
function deadLetterHeaders(
  original: readonly Header[],
  cause: DeadLetterCause,
  charsMax: number = textMax.usual,
): readonly Header[] {
  const { error } = cause;
  const text = (key: string, value: string): Header => ({
    key,
    value: Buffer.from(value.slice(0, charsMax).toWellFormed(), 'utf8'),
  });
  const name = error instanceof Error ? error.name : typeof error;
  const message = error instanceof Error ? describeChain(error) : 'a value that is no Error was thrown';
  return [
    ...original,
    text('__streams.errors.exception', error instanceof StreamError ? `${name}:${error.code}` : name),
    text('__streams.errors.message', message),
    text('__streams.errors.stacktrace', error instanceof Error ? (error.stack ?? '') : ''),
    text('__streams.errors.topic', cause.topic),
    text('__streams.errors.partition', String(cause.partition)),
    text('__streams.errors.offset', String(cause.offset)),
    text('rivulet.dlq.id', [cause.applicationId, cause.topic, cause.partition, cause.offset].join('|')),
    text('rivulet.dlq.application', cause.applicationId),
    text('rivulet.dlq.task', cause.taskId),
    text('rivulet.dlq.node', cause.node),
    text('rivulet.dlq.code', error instanceof StreamError ? error.code : 'PROCESSING_FAILED'),
    text('rivulet.dlq.timestamp', String(cause.timestampMs)),
    text('rivulet.dlq.failed-at', String(cause.failedAtMs)),
    text('rivulet.dlq.attempts', String(cause.attempts)),
  ];
}

function describeChain(error: Error): string {
  const parts: string[] = [];
  let current: unknown = error;
  while (current instanceof Error && parts.length < 5) {
    parts.push(current.message);
    current = current.cause;
  }
  return parts.join(': ');
}
