/** What operators have changed while everything runs, as every process knows it: the topic of changes, followed. */
import type { RolloutPort } from '../api/app/rollout-port.ts';
import type { Clock, Logger } from '../clock.ts';
import { measuresWith, type Connector } from '../connectors/connector.ts';
import type { Log } from '../connectors/log.ts';
import type { OutgoingRecord, WrittenRecord } from '../connectors/outgoing-record.ts';
import { createTopicFollower } from '../connectors/topic-follower.ts';
import { StreamError } from '../errors.ts';
import { isWithin } from '../processors/app/rollout.ts';
import { rolloutChanges, rolloutFlags, type RolloutChange, type RolloutFlag } from '../schemas/app/rollout.ts';
import { noHeaders } from '../schemas/record.ts';

export interface RolloutOptions {
  readonly log: Pick<Log, 'reader' | 'admin'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly topicPrefix: string;
  readonly write: (record: OutgoingRecord) => Promise<WrittenRecord>;
  /** Shares that hold until somebody changes them. */
  readonly initial: Readonly<Record<RolloutFlag, number>>;
  readonly holdMs: number;
  /** Told when a topology is paused or goes on. */
  readonly onPause: (name: string) => void;
}

export interface Rollout extends RolloutPort {
  readonly connector: Connector;
  /** Resolves once everything is known that was changed before, however long the log cannot be reached, or when `signal` aborts. */
  loaded(signal: AbortSignal): Promise<void>;
}

/** Changes of one name that are remembered; the topic has them all. */
const historyMax = 1_000;
const lookEveryMs = 20;
/** For a change to come back. */
const inForceMs = 5_000;

export function openRollout(options: RolloutOptions): Rollout {
  const { clock, logger, initial, write, onPause } = options;
  const topic = rolloutChanges(options.topicPrefix);
  const histories = new Histories();
  const follower = createTopicFollower({
    ...options,
    topic: topic.name,
    onValue: (value) => {
      try {
        const change = topic.value.deserialize(value);
        histories.take(change);
        if (change.kind === 'topology') onPause(change.name);
      } catch (error) {
        logger.warn('a change of the rollout is not understood', { error });
      }
    },
  });
  const percentOf = (flag: RolloutFlag): number => histories.percentOf(flag) ?? initial[flag];
  const waitFor = async (isDone: () => boolean, untilMs: number, signal?: AbortSignal): Promise<void> => {
    while (!isDone() && clock.monotonicMs() < untilMs && signal?.aborted !== true)
      await clock.sleep(lookEveryMs, signal);
  };

  return {
    holdMs: options.holdMs,
    percentOf,
    isOn: (flag, key) => isWithin(key, percentOf(flag)),
    isPaused: (name) => histories.isPaused(name),
    history: (kind, name) => histories.of(kind, name),
    change: async (change) => {
      const record = {
        topic: topic.name,
        key: topic.key.serialize(keyOf(change.kind, change.name)),
        headers: noHeaders,
      };
      const { offset } = await write({ ...record, value: topic.value.serialize(change), timestampMs: clock.nowMs() });
      const isKnown = (): boolean => follower.nextOffset > offset;
      await waitFor(isKnown, clock.monotonicMs() + inForceMs);
      if (!isKnown()) throw new StreamError('LOG_UNAVAILABLE', 'the change is written, but not in force here yet');
      logger.info('rollout changed', { ...change });
    },
    loaded: (signal) => waitFor(() => follower.hasCaughtUp, Infinity, signal),
    connector: {
      name: 'rollout',
      start: () => follower.start(),
      close: () => follower.close(),
      measures: () =>
        rolloutFlags.map((flag) =>
          measuresWith({ flag })('rollout_percent', 'Share of the keys that go the new way.', percentOf(flag)),
        ),
    },
  };
}

const keyOf = (kind: RolloutChange['kind'], name: string): string => `${kind}/${name}`;

/** The changes of each name, oldest first. */
class Histories {
  readonly #changes = new Map<string, readonly RolloutChange[]>();

  take(change: RolloutChange): void {
    const before = this.of(change.kind, change.name);
    this.#changes.set(keyOf(change.kind, change.name), [...before.slice(-historyMax + 1), change]);
  }

  of(kind: RolloutChange['kind'], name: string): readonly RolloutChange[] {
    return this.#changes.get(keyOf(kind, name)) ?? [];
  }

  percentOf(flag: RolloutFlag): number | undefined {
    const last = this.of('flag', flag).at(-1);
    return last?.kind === 'flag' ? last.percent : undefined;
  }

  isPaused(topology: string): boolean {
    const last = this.of('topology', topology).at(-1);
    return last?.kind === 'topology' && last.paused;
  }
}
