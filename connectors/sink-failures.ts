/** What sinks do about failures: an outage is waited out, a record that makes no sense is put aside. */
import type { Clock, Logger, Random } from '../clock.ts';
import { StreamError } from '../errors.ts';
import { deadLetterHeaders } from '../schemas/dead-letter.ts';
import type { TopicPartition } from '../schemas/record.ts';
import type { OutgoingRecord } from './outgoing-record.ts';
import type { Incoming } from './sink-slices.ts';

const retry = { firstMs: 250, longestMs: 30_000 } as const;

interface Where {
  /** Of the sink. */
  readonly name: string;
  readonly at: TopicPartition;
  readonly clock: Clock;
}

export interface PatienceOptions extends Where {
  readonly random: Random;
  readonly logger: Logger;
  readonly counts: { errors: number; isWaiting: boolean };
}

/** Tries until it works, unless somebody else has the partition: an outage makes nothing bad. `undefined` if ended before. */
export async function patiently<T>(
  attempt: () => Promise<T>,
  { clock, random, counts, logger, name, at }: PatienceOptions,
  signal: AbortSignal,
): Promise<T | undefined> {
  for (let failures = 0; !signal.aborted; failures += 1)
    try {
      const result = await attempt();
      counts.isWaiting = false;
      return result;
    } catch (error) {
      if (!(error instanceof StreamError) || error.code === 'TASK_MIGRATED') throw error;
      counts.errors += 1;
      counts.isWaiting = true;
      logger.warn('a sink waits', { sink: name, ...at, code: error.code, error: error.message, ...error.facts });
      const backoffMs = Math.min(retry.firstMs * 2 ** Math.min(failures, 20), retry.longestMs);
      await clock.sleep(backoffMs * (0.5 + random.next() / 2), signal);
    }
  return undefined;
}

/** The record as it was, with the reason in its headers. */
export function deadLetterOf(
  { key, value, headers, offset, timestampMs }: Incoming,
  error: unknown,
  {
    name,
    at,
    clock,
    groupId,
    deadLetters: { topic },
  }: Where & { readonly groupId: string; readonly deadLetters: { readonly topic: string } },
): OutgoingRecord {
  const failedAtMs = clock.nowMs();
  const cause = {
    ...at,
    applicationId: groupId,
    taskId: `${at.topic}/${at.partition}`,
    node: name,
    offset,
    timestampMs,
    error,
    failedAtMs,
    attempts: 1,
    parksKey: false,
  };
  return { topic, key, value, headers: deadLetterHeaders(headers, cause), timestampMs: failedAtMs };
}
