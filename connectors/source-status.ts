/** How the systems are that are polled, as every process knows it from one small compacted topic. */
import type { Clock, Logger } from '../clock.ts';
import { noHeaders } from '../schemas/record.ts';
import { stringSerde } from '../schemas/serde.ts';
import type { Log } from './log.ts';
import { createTopicFollower } from './topic-follower.ts';
import type { OutgoingRecord } from './outgoing-record.ts';

/** Of one source, as told by the process that polls it. Epoch milliseconds. */
export interface SourceStatus {
  readonly source: string;
  /** The last poll succeeded. */
  readonly isUp: boolean;
  /** Why not. */
  readonly code?: string;
  /** End of the last complete poll; `undefined` if there was none yet. */
  readonly polledAtMs: number | undefined;
  readonly toldAtMs: number;
  readonly intervalMs: number;
}

/** How it went to ask a source. */
export type SourceOutcome = Pick<SourceStatus, 'isUp' | 'code'>;

/** A status with what follows from it now. */
export interface SourceHealth extends SourceStatus {
  /** What is known of the system may be older than it should be. */
  readonly isStale: boolean;
  /** Since the last complete poll. */
  readonly ageMs: number | undefined;
}

export interface SourceStatuses {
  start(): void;
  close(): Promise<void>;
  /** In order of names. */
  health(): readonly SourceHealth[];
}

/** So many intervals without a complete poll make a source stale. */
const staleAfterIntervals = 2;

/** The record that tells all processes. */
export function statusRecord(topic: string, status: SourceStatus): OutgoingRecord {
  const [key, value] = [status.source, JSON.stringify(status)].map((text) => stringSerde.serialize(text));
  return { topic, key, value, headers: noHeaders, timestampMs: status.toldAtMs };
}

function decodeStatus(value: Uint8Array): SourceStatus | undefined {
  try {
    const parsed: unknown = JSON.parse(stringSerde.deserialize(value));
    return isStatus(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function isStatus(value: unknown): value is SourceStatus {
  const candidate = value as Partial<Record<keyof SourceStatus, unknown>> | null;
  return (
    typeof candidate?.source === 'string' &&
    typeof candidate.isUp === 'boolean' &&
    typeof candidate.intervalMs === 'number' &&
    (candidate.polledAtMs === undefined || typeof candidate.polledAtMs === 'number')
  );
}

/** What a status means at `nowMs`. */
export function healthOf(status: SourceStatus, nowMs: number): SourceHealth {
  const ageMs = status.polledAtMs === undefined ? undefined : Math.max(0, nowMs - status.polledAtMs);
  const isStale = ageMs === undefined || ageMs > status.intervalMs * staleAfterIntervals;
  return { ...status, isStale, ageMs };
}

export interface SourceStatusesOptions {
  readonly log: Pick<Log, 'reader' | 'admin'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly topic: string;
}

/** Follows the topic of statuses for as long as it is open. */
export function followSources(options: SourceStatusesOptions): SourceStatuses {
  const { clock } = options;
  const statuses = new Map<string, SourceStatus>();
  const follower = createTopicFollower({
    ...options,
    onValue: (value) => {
      const status = decodeStatus(value);
      if (status !== undefined) statuses.set(status.source, status);
    },
  });
  return {
    start: () => follower.start(),
    close: () => follower.close(),
    health: () =>
      [...statuses.values()]
        .sort((left, right) => (left.source < right.source ? -1 : 1))
        .map((status) => healthOf(status, clock.nowMs())),
  };
}
