/** Pollers of system B over a log, and what they wrote. */
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { createCircuitBreaker } from '../../../connectors/circuit-breaker.ts';
import { createHttpSource, type Fetch } from '../../../connectors/http-source.ts';
import type { Log } from '../../../connectors/log.ts';
import { createPoller, type Poller } from '../../../connectors/poller.ts';
import { polledCustomers } from '../../../connectors/app/polled-customers.ts';
import { systemBListing } from '../../../connectors/app/system-b-source.ts';
import { connectorTopics } from '../../../schemas/app/connector-topics.ts';
import { customerTopics } from '../../../schemas/app/customer/topics.ts';
import { stringSerde } from '../../../schemas/serde.ts';
import { readAll } from '../cluster.ts';

/** The event as a poller writes it. */
export interface EventOfB {
  readonly eventId: string;
  readonly operation: string;
  readonly op?: string;
  readonly timestamp: string;
  readonly payload: Readonly<Record<string, string>>;
  readonly before?: Readonly<Record<string, string>>;
}

export interface PolledBOptions {
  readonly log: Log;
  readonly url: string;
  readonly prefix?: string;
  readonly intervalMs?: number;
  readonly scanIntervalMs?: number;
  readonly retries?: number;
  readonly openMs?: number;
  readonly fetch?: Fetch;
  readonly sessionTimeoutMs?: number;
}

export function pollerOfB(options: PolledBOptions): Poller {
  const { log, url, prefix = '', intervalMs = 20, retries = 0, openMs = 50 } = options;
  const breaker = createCircuitBreaker({ clock: systemClock, name: 'system-b', openMs });
  const http = createHttpSource({
    fetch: options.fetch ?? fetch,
    clock: systemClock,
    random: systemRandom,
    breaker,
    retries,
    timeoutMs: 10_000,
  });
  const { checkpoints, status } = connectorTopics(prefix);
  return createPoller({
    source: polledCustomers(
      systemBListing({
        http,
        baseUrl: url,
        topic: customerTopics(prefix).changesB.name,
        scanIntervalMs: options.scanIntervalMs ?? 3_600_000,
      }),
    ),
    log,
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    applicationId: `${prefix}customer-merge`,
    checkpointTopic: checkpoints.name,
    statusTopic: status.name,
    intervalMs,
    sessionTimeoutMs: options.sessionTimeoutMs ?? 3_000,
    heartbeatIntervalMs: 200,
  });
}

export async function createPollTopics(log: Log, prefix = ''): Promise<void> {
  const { checkpoints, status } = connectorTopics(prefix);
  const { changesB } = customerTopics(prefix);
  const topics = [checkpoints, status, changesB].map(({ name, create }) => ({ name, partitions: 1, ...create }));
  await log.admin.createTopics(topics.map((topic) => ({ ...topic, replicationFactor: 1 })));
}

/** All events, in the order of the log within one partition. */
export async function eventsOfB(log: Log, prefix = ''): Promise<readonly EventOfB[]> {
  const { changesB } = customerTopics(prefix);
  const records = await readAll(log, { name: changesB.name, key: stringSerde, value: stringSerde });
  return records.map(({ value }) => JSON.parse(value ?? 'null') as EventOfB);
}
