/** What must be in the log before the applications start: their topics, and made-up input where nobody else writes. */
import { newTopics, type Application } from '../api/app/application.ts';
import { systemClock as clock, type Logger } from '../clock.ts';
import type { NewTopic } from '../connectors/log.ts';
import type { LogAndFormat } from './open-api.ts';
import { feedRecords } from './record-feed.ts';
import type { Settings } from './settings.ts';
import type { Shutdown } from './shutdown.ts';
import type { Terminal } from './terminal.ts';
import { createTopics } from './user-topics.ts';
import { connectorTopics } from '../schemas/app/connector-topics.ts';
import { employeeTopics } from '../schemas/app/employees.ts';
import { rolloutChanges } from '../schemas/app/rollout.ts';

export interface Surroundings {
  readonly logger: Logger;
  readonly terminal: Terminal;
  readonly shutdown: Shutdown;
}

/**
 * Creates the topics that are missing, and returns what writes samples to them: if it is told to, or if neither a source nor anybody else can have
 * written there.
 */
export async function prepareTopics(
  settings: Settings,
  chosen: readonly Application[],
  { log, format }: LogAndFormat,
  surroundings: Surroundings,
): Promise<(() => Promise<void>) | undefined> {
  const { topicPrefix, sampleFeed: wish, kafka } = settings;
  const hasSource = [settings.systemA, settings.systemAFile, settings.systemB, settings.sync, settings.employees].some(
    (source) => source !== undefined,
  );
  if (wish === 'false' && !hasSource) return undefined;
  const topics = declaredTopics(chosen, settings);
  const { logger, terminal, shutdown } = surroundings;
  const onWaiting = (reason: string): void => terminal.status(`waiting for the log: ${reason}`);
  const created = await createTopics(log, topics, { clock, logger, signal: shutdown.signal, onWaiting });
  const isOurs = !hasSource && (kafka === undefined || created.length === topics.length);
  if (wish === 'false' || (wish === 'auto' && !isOurs)) return undefined;
  const partitions = new Map(topics.map((topic) => [topic.name, topic.partitions]));
  return async () => {
    const samples = chosen.flatMap((application) => application.samples?.({ topicPrefix, format }) ?? []);
    const feeds = samples.map((records) =>
      feedRecords({ log, records, partitions, clock, logger, signal: shutdown.signal }),
    );
    const feeding = Promise.all(feeds);
    shutdown.add('sample feed', () => feeding);
    await feeding;
  };
}

/** The topics of these applications and of what runs beside them, each once. */
export function declaredTopics(
  chosen: readonly Application[],
  { topicPrefix, employees }: Pick<Settings, 'topicPrefix' | 'employees'>,
): readonly NewTopic[] {
  const named = chosen.flatMap((application) => application.topics(topicPrefix));
  const common = newTopics([rolloutChanges(topicPrefix)]);
  const beside =
    employees === undefined ? [] : newTopics({ ...employeeTopics(topicPrefix), ...connectorTopics(topicPrefix) });
  return [...new Map([...named, ...common, ...beside].map((topic) => [topic.name, topic])).values()];
}
