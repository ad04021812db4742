/** The record that stands for one that could not be handled: original bytes, with the reason in headers. */
import { hasCode } from '../../errors.ts';
import { deadLetterHeaders, deadLetterTextMax, type DeadLetterCause } from '../../schemas/dead-letter.ts';
import type { Header } from '../../schemas/record.ts';
import type { Outputs } from './outputs.ts';
import type { RawRecord } from './partition-queue.ts';

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
    append(deadLetterHeaders(record.headers, cause, deadLetterTextMax.tight));
  }
}
