/** Makes instances the way the settings want them. */
import type { Clock, Logger, Random } from '../clock.ts';
import type { Log } from '../connectors/log.ts';
import type { Settings } from './settings.ts';
import type { Stores } from '../state-stores/store.ts';
import type { Topology } from '../topology/graph.ts';
import { createInstance, type StreamInstance } from '../topology/runtime/stream-instance.ts';

export interface InstanceParts {
  readonly instanceId: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly stores: Stores;
  readonly logger: Logger;
  /** Where the API listens, once it does. */
  readonly listening: () => string;
}

export type MakeInstance = (applicationId: string, topology: Topology, isStrict?: () => boolean) => StreamInstance;

/** Makes instances, and pauses and resumes those of one topology together. */
export interface PausableInstances {
  readonly make: MakeInstance;
  readonly of: (topology: string) => readonly StreamInstance[];
  /** To be called whenever the answer of `isPaused` may have changed. */
  readonly follow: (topology: string) => void;
}

/** Those that are made while their topology is paused begin so. */
export function pausable(make: MakeInstance, isPaused: (topology: string) => boolean): PausableInstances {
  const made = new Map<string, readonly StreamInstance[]>();
  const of = (name: string): readonly StreamInstance[] =>
    (made.get(name) ?? []).filter(({ state }) => state !== 'closed' && state !== 'failed');
  const apply = (name: string, instance: StreamInstance): void => {
    if (isPaused(name)) instance.pause();
    else instance.resume();
  };
  return {
    make: (applicationId, topology, isStrict) => {
      const instance = make(applicationId, topology, isStrict);
      made.set(topology.name, [...of(topology.name), instance]);
      apply(topology.name, instance);
      return instance;
    },
    of,
    follow: (name) => {
      for (const instance of of(name)) apply(name, instance);
    },
  };
}
export function instanceMaker(settings: Settings, { instanceId, listening, ...host }: InstanceParts): MakeInstance {
  const isDefinite = settings.host !== '0.0.0.0' && settings.host !== '::';
  if (settings.advertisedUrl === undefined && !isDefinite)
    host.logger.warn('other instances cannot ask this one: HOST is no definite address, set ADVERTISED_URL');
  const { guarantee, commitIntervalMs, sessionTimeoutMs, transactionTimeoutMs, standbys, staticMembership } = settings;
  return (applicationId, topology, isStrict) => {
    const advertisedUrl = settings.advertisedUrl ?? (isDefinite ? listening() : undefined);
    return createInstance({
      applicationId,
      instanceId,
      topology,
      host: { ...host, fault: () => undefined, sometimes: () => undefined },
      ...(advertisedUrl === undefined ? {} : { advertisedUrl }),
      guarantee,
      commitIntervalMs,
      // Without a network between, waiting for more before a commit gains nothing.
      ...(settings.kafka === undefined ? { commitGapMs: 0 } : {}),
      sessionTimeoutMs,
      transactionTimeoutMs,
      standbys,
      ...(isStrict === undefined ? {} : { isStrict }),
      staticMembership,
    });
  };
}
