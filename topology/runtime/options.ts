/** How an instance runs: everything with a default and a bound, in one place. */
import type { Compression } from '../../connectors/log.ts';
import { StreamError } from '../../errors.ts';
import { checkName } from '../../schemas/topic.ts';
import type { Topology } from '../graph.ts';
import { resolveHost } from './host.ts';
import type { Host, HostOptions } from './host.ts';

export type ProcessingGuarantee = 'exactly_once' | 'at_least_once';

export interface InstanceOptions {
  /** Group id, and prefix of internal topics, transactional ids and state directories. */
  readonly applicationId: string;
  /** Unique among the instances that run at one time, kept over restarts. */
  readonly instanceId: string;
  readonly topology: Topology;
  readonly host: HostOptions;
  /** Where other instances reach this one's API. */
  readonly advertisedUrl?: string;
  readonly guarantee?: ProcessingGuarantee;
  /** Longest time between commits while there is something to commit. */
  readonly commitIntervalMs?: number;
  /** Shortest pause between commits when the input is drained. */
  readonly commitGapMs?: number;
  /** Uncommitted outputs and state beyond this force a commit; processing waits for it. */
  readonly uncommittedBytesMax?: number;
  /** Fetched but unprocessed bytes per input partition beyond which it is paused. */
  readonly bufferedBytesMax?: number;
  /**
   * How long an input that is empty and read to its end holds up the other inputs of its task, ms. 0 (default): not at all; what is known to lie
   * in the log is waited for. -1: nothing is waited for, so that records are processed as they come.
   */
  readonly maxTaskIdleMs?: number;
  readonly sessionTimeoutMs?: number;
  /** The answer to a heartbeat is how a member learns of a rebalance: this bounds how fast tasks are taken over. At most a third of the session timeout. */
  readonly heartbeatIntervalMs?: number;
  readonly rebalanceTimeoutMs?: number;
  readonly transactionTimeoutMs?: number;
  /** Memory for unflushed writes over all stores of the instance. */
  readonly storesBytesMax?: number;
  /** Memory for decoded values over all stores of the topology, estimated; 0 keeps none. */
  readonly cacheBytesMax?: number;
  readonly compression?: Compression;
  /** Of internal topics; absent: the broker's default. */
  readonly replicationFactor?: number;
  /** How often repartition topics are purged up to the committed offsets. */
  readonly repartitionPurgeIntervalMs?: number;
  /** How often it is looked whether topics were deleted, made anew or given other partitions. */
  readonly topicCheckIntervalMs?: number;
  /** Copies of each stateful task that other instances keep warm. The leader's value counts, here and in the next three. */
  readonly standbys?: number;
  /** Changelog records an instance may have to catch up on and still take a task over at once. */
  readonly acceptableRecoveryLag?: number;
  /** Tasks that are warmed up at one time on the instances they are to move to, over the whole group. */
  readonly warmUpsMax?: number;
  /** How often it is looked whether tasks can move to where they belong, besides whenever a warm-up has caught up. */
  readonly probingRebalanceIntervalMs?: number;
  /** How long the state of a task stays on disk after the task has left. */
  readonly stateCleanupDelayMs?: number;
  /**
   * Keeps the place of an instance that stops: it does not leave the group, and one of its id that starts within the session timeout gets its tasks back
   * while nobody else is disturbed. Until then nobody runs them. Off by default: an instance that stops hands over at once.
   */
  readonly staticMembership?: boolean;
  /**
   * Asked for each record that fails: while it says true, the record ends the instance, whatever its policy. For state that is being made anew, and must not
   * silently lack something.
   */
  readonly isStrict?: () => boolean;
}

export type ResolvedOptions = Required<
  Omit<InstanceOptions, 'advertisedUrl' | 'replicationFactor' | 'host' | 'isStrict'>
> &
  Pick<InstanceOptions, 'advertisedUrl' | 'replicationFactor' | 'isStrict'> & { readonly host: Host };

const limits = {
  commitIntervalMs: { default: 100, min: 1, max: 600_000 },
  commitGapMs: { default: 20, min: 0, max: 60_000 },
  uncommittedBytesMax: { default: 32 * 1024 * 1024, min: 64 * 1024, max: 1024 ** 3 },
  bufferedBytesMax: { default: 1024 * 1024, min: 1024, max: 1024 ** 3 },
  maxTaskIdleMs: { default: 0, min: -1, max: 3_600_000 },
  sessionTimeoutMs: { default: 45_000, min: 100, max: 1_800_000 },
  heartbeatIntervalMs: { default: 500, min: 10, max: 600_000 },
  rebalanceTimeoutMs: { default: 60_000, min: 100, max: 1_800_000 },
  transactionTimeoutMs: { default: 10_000, min: 100, max: 900_000 },
  storesBytesMax: { default: 256 * 1024 * 1024, min: 1024 * 1024, max: 64 * 1024 ** 3 },
  cacheBytesMax: { default: 128 * 1024 * 1024, min: 0, max: 64 * 1024 ** 3 },
  repartitionPurgeIntervalMs: { default: 30_000, min: 100, max: 86_400_000 },
  topicCheckIntervalMs: { default: 30_000, min: 10, max: 86_400_000 },
  standbys: { default: 0, min: 0, max: 10 },
  acceptableRecoveryLag: { default: 10_000, min: 0, max: Number.MAX_SAFE_INTEGER },
  warmUpsMax: { default: 2, min: 1, max: 1_000 },
  probingRebalanceIntervalMs: { default: 600_000, min: 1_000, max: 86_400_000 },
  stateCleanupDelayMs: { default: 600_000, min: 100, max: 30 * 86_400_000 },
} as const;

/** Fills in defaults; throws `CONFIG_INVALID` naming the option. */
export function resolveOptions(options: InstanceOptions): ResolvedOptions {
  checkName('application', options.applicationId);
  checkName('instance', options.instanceId);
  const number = (name: keyof typeof limits): number => {
    const limit = limits[name];
    const value = options[name] ?? limit.default;
    if (!Number.isInteger(value) || value < limit.min || value > limit.max)
      throw new StreamError(
        'CONFIG_INVALID',
        `${name} must be a whole number from ${String(limit.min)} to ${String(limit.max)}`,
        {
          facts: { option: name, value },
        },
      );
    return value;
  };
  const sessionTimeoutMs = number('sessionTimeoutMs');
  return {
    ...options,
    host: resolveHost(options.host),
    guarantee: options.guarantee ?? 'exactly_once',
    compression: options.compression ?? 'none',
    commitIntervalMs: number('commitIntervalMs'),
    commitGapMs: number('commitGapMs'),
    uncommittedBytesMax: number('uncommittedBytesMax'),
    bufferedBytesMax: number('bufferedBytesMax'),
    maxTaskIdleMs: number('maxTaskIdleMs'),
    sessionTimeoutMs,
    heartbeatIntervalMs: Math.min(number('heartbeatIntervalMs'), Math.ceil(sessionTimeoutMs / 3)),
    rebalanceTimeoutMs: number('rebalanceTimeoutMs'),
    transactionTimeoutMs: number('transactionTimeoutMs'),
    storesBytesMax: number('storesBytesMax'),
    cacheBytesMax: number('cacheBytesMax'),
    repartitionPurgeIntervalMs: number('repartitionPurgeIntervalMs'),
    topicCheckIntervalMs: number('topicCheckIntervalMs'),
    standbys: number('standbys'),
    acceptableRecoveryLag: number('acceptableRecoveryLag'),
    warmUpsMax: number('warmUpsMax'),
    probingRebalanceIntervalMs: number('probingRebalanceIntervalMs'),
    stateCleanupDelayMs: number('stateCleanupDelayMs'),
    staticMembership: options.staticMembership ?? false,
  };
}

/** Waits between attempts: doubling from `firstMs` up to `maxMs`. */
export const backoff = { firstMs: 50, maxMs: 5_000 } as const;

export function backoffMs(attempt: number): number {
  return Math.min(backoff.maxMs, backoff.firstMs * 2 ** Math.min(attempt, 10));
}
