/** What a dead letter says in its headers: where the record came from and why it failed. */
import { StreamError, reasonOf } from '../errors.ts';
import type { Header, RecordMetadata } from './record.ts';

/** Longest message or stack kept in a header, in UTF-16 units; and where the record hardly fits by itself. */
export const deadLetterTextMax = { usual: 4_000, tight: 200 } as const;

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
  /** Records of its key that come later wait until it was decided on. */
  readonly parksKey: boolean;
}

/** On a dead letter of the policy `park-key`. */
export const parksKeyHeader = 'rivulet.dlq.parks-key';
/** What exactly was wrong with it, if the failure says so. */
export const reasonHeader = 'rivulet.dlq.reason';
/** On a record that is processed again: the `rivulet.dlq.id` of what it was. */
export const replayOfHeader = 'rivulet.dlq.replay-of';
/** Beside `replayOfHeader`, on a record that will never be processed: those that wait for it need not wait any more. */
export const discardedHeader = 'rivulet.dlq.discarded';

/** The same however often the record at that place fails. */
export function deadLetterId(applicationId: string, { topic, partition, offset }: RecordMetadata): string {
  return [applicationId, topic, partition, offset].join('|');
}

/**
 * Headers of a dead letter: the original ones, then Kafka Streams' own names (KIP-1034, Kafka Streams 4.2), then ours.
 * `rivulet.dlq.id` is the same however often the record fails, so that one failure is one dead letter.
 */
export function deadLetterHeaders(
  original: readonly Header[],
  cause: DeadLetterCause,
  charsMax: number = deadLetterTextMax.usual,
): readonly Header[] {
  const { error } = cause;
  const text = (key: string, value: string): Header => ({
    key,
    value: Buffer.from(value.slice(0, charsMax).toWellFormed(), 'utf8'),
  });
  const name = error instanceof Error ? error.name : typeof error;
  const message = error instanceof Error ? describeChain(error) : 'a value that is no Error was thrown';
  const reason = reasonOf(error);
  return [
    ...original,
    text('__streams.errors.exception', error instanceof StreamError ? `${name}:${error.code}` : name),
    text('__streams.errors.message', message),
    text('__streams.errors.stacktrace', error instanceof Error ? (error.stack ?? '') : ''),
    text('__streams.errors.topic', cause.topic),
    text('__streams.errors.partition', String(cause.partition)),
    text('__streams.errors.offset', String(cause.offset)),
    text('rivulet.dlq.id', deadLetterId(cause.applicationId, cause)),
    text('rivulet.dlq.application', cause.applicationId),
    text('rivulet.dlq.task', cause.taskId),
    text('rivulet.dlq.node', cause.node),
    text('rivulet.dlq.code', error instanceof StreamError ? error.code : 'PROCESSING_FAILED'),
    ...(reason === undefined ? [] : [text(reasonHeader, reason)]),
    text('rivulet.dlq.timestamp', String(cause.timestampMs)),
    text('rivulet.dlq.failed-at', String(cause.failedAtMs)),
    text('rivulet.dlq.attempts', String(cause.attempts)),
    ...(cause.parksKey ? [text(parksKeyHeader, 'true')] : []),
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
