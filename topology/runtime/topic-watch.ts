/** Notices when topics of a running instance are deleted, made anew or given another number of partitions. */
import type { Admin, TopicDescription } from '../../connectors/log.ts';
import { StreamError, hasCode } from '../../errors.ts';
import type { Plan } from '../plan.ts';
import type { ResolvedOptions } from './options.ts';

/** What is read or restored from: by physical name, as it was when the instance was prepared. */
export type KnownTopics = ReadonlyMap<string, TopicDescription>;

/** Rejects with `TOPIC_UNKNOWN` if one has gone meanwhile. */
export async function describeKnown(admin: Admin, plan: Plan): Promise<KnownTopics> {
  const names = new Set(plan.internalTopics.map(({ name }) => name));
  for (const sub of plan.subTopologies) for (const name of sub.sourceTopics) names.add(name);
  const known = new Map<string, TopicDescription>();
  for (const [name, topic] of await admin.describeTopics([...names])) {
    if (topic === undefined)
      throw new StreamError('TOPIC_UNKNOWN', `topic ${name} does not exist`, { facts: { topic: name } });
    known.set(name, topic);
  }
  return known;
}

/**
 * What is wrong with the topics now: `SOURCE_TOPIC_CHANGED` or `INTERNAL_TOPIC_INVALID`, on which the instance has to stop, or
 * `SOURCE_TOPIC_MISSING`, which may pass. Rejects if the log cannot tell.
 */
export async function inspectTopics(admin: Admin, plan: Plan, known: KnownTopics): Promise<StreamError | undefined> {
  const found = await admin.describeTopics([...known.keys()]);
  const internal = new Set(plan.internalTopics.map(({ name }) => name));
  const faults = [...known.values()].flatMap((was) => {
    const fault = compare(was, found.get(was.name), internal.has(was.name));
    return fault === undefined ? [] : [fault];
  });
  return faults.find(({ retry }) => retry === 'never') ?? faults[0];
}

function compare(
  was: TopicDescription,
  now: TopicDescription | undefined,
  isInternal: boolean,
): StreamError | undefined {
  const topic = was.name;
  const changed = isInternal ? 'INTERNAL_TOPIC_INVALID' : 'SOURCE_TOPIC_CHANGED';
  if (now === undefined)
    return new StreamError(isInternal ? changed : 'SOURCE_TOPIC_MISSING', `topic ${topic} was deleted`, {
      facts: { topic },
    });
  if (was.topicId !== undefined && now.topicId !== undefined && was.topicId !== now.topicId)
    return new StreamError(changed, `topic ${topic} was deleted and made anew`, {
      facts: { topic, expected: was.topicId, found: now.topicId },
    });
  if (was.partitions !== now.partitions)
    return new StreamError(changed, `topic ${topic} was given another number of partitions`, {
      facts: { topic, expected: was.partitions, found: now.partitions },
    });
  return undefined;
}

export interface TopicWatchScope {
  readonly options: ResolvedOptions;
  readonly plan: Plan;
  readonly known: KnownTopics;
  /** The instance has to stop. */
  failed(error: StreamError): void;
}

/** A broker that was frozen may know less than the others for a moment: what ends the instance is looked at twice, so far apart. */
const confirmAfterMs = 2_000;

export class TopicWatch {
  /** Set while a topic that is read does not exist. */
  missing: StreamError | undefined;
  readonly #scope: TopicWatchScope;
  #isStopped = false;
  #nap = new AbortController();

  constructor(scope: TopicWatchScope) {
    this.#scope = scope;
  }

  /** Looks at intervals until `stop`. */
  async run(): Promise<void> {
    const { topicCheckIntervalMs } = this.#scope.options;
    let suspicion: StreamError | undefined;
    while (!this.#isStopped) {
      await this.#sleep(
        suspicion === undefined ? topicCheckIntervalMs : Math.min(topicCheckIntervalMs, confirmAfterMs),
      );
      const fault = await this.#look();
      const isFinal = fault?.retry === 'never';
      if (isFinal && suspicion?.message === fault.message) this.#scope.failed(fault);
      suspicion = isFinal ? fault : undefined;
    }
  }

  /** Looks soon: there are signs that something changed. */
  hurry(): void {
    this.#nap.abort();
  }

  stop(): void {
    this.#isStopped = true;
    this.#nap.abort();
  }

  async #sleep(ms: number): Promise<void> {
    if (this.#isStopped) return;
    this.#nap = new AbortController();
    await this.#scope.options.host.clock.sleep(ms, this.#nap.signal);
  }

  /** Never rejects: a log that cannot tell is the concern of those who need it. */
  async #look(): Promise<StreamError | undefined> {
    if (this.#isStopped) return undefined;
    const { options, plan, known } = this.#scope;
    const { log, logger } = options.host;
    try {
      const fault = await inspectTopics(log.admin, plan, known);
      const missing = hasCode(fault, 'SOURCE_TOPIC_MISSING') ? fault : undefined;
      if (missing !== undefined && this.missing === undefined)
        logger.error(missing.message, { code: missing.code, ...missing.facts });
      this.missing = missing;
      return fault;
    } catch (error) {
      logger.debug('topics could not be looked at', { error: error instanceof Error ? error.message : 'unknown' });
      return undefined;
    }
  }
}
