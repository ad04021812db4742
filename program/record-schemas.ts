/** How records are written in this process, and, if by schemas, which registry has them. */
import { registryRoutes } from '../api/registry-routes.ts';
import type { Routes } from '../api/routes.ts';
import type { Clock, Logger } from '../clock.ts';
import type { Log } from '../connectors/log.ts';
import { confluentRegistry } from '../connectors/registry/confluent-registry.ts';
import { openEmbeddedRegistry } from '../connectors/registry/embedded-registry.ts';
import { StreamError } from '../errors.ts';
import { billingTopics } from '../schemas/app/billing/topics.ts';
import { customerTopics } from '../schemas/app/customer/topics.ts';
import { employeeTopics } from '../schemas/app/employees.ts';
import { shadowTopics } from '../schemas/app/shadow.ts';
import { avroFormat, jsonFormat, type RecordFormat } from '../schemas/app/record-format.ts';
import { syncTopics } from '../schemas/app/sync/topics.ts';
import { createAvroSerdes } from '../schemas/avro/avro-serde.ts';
import type { SchemaRegistry } from '../schemas/schema-registry.ts';
import type { Settings } from './settings.ts';
import type { Shutdown } from './shutdown.ts';
import type { Terminal } from './terminal.ts';

export interface Schemas {
  readonly format: RecordFormat;
  /** Of the registry, if it is here. */
  readonly routes: readonly Routes[];
}

interface Surroundings {
  readonly log: Log;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly terminal: Terminal;
  readonly shutdown: Shutdown;
}

/** Between attempts to reach the registry. */
const retryEveryMs = 2_000;

/** Resolves once all schemas are registered, however long the registry cannot be reached, or when the end is asked for. Rejects with `SCHEMA_REFUSED`. */
export async function openSchemas(
  { schemaRegistry, topicPrefix }: Settings,
  surroundings: Surroundings,
): Promise<Schemas> {
  if (schemaRegistry === undefined) return { format: jsonFormat, routes: [] };
  const { log, clock, shutdown } = surroundings;
  const { url, auth } = schemaRegistry;
  if (url !== undefined) {
    const login = auth === undefined ? {} : { auth: { ...auth, password: auth.password.reveal() } };
    const format = await registeredFormat(confluentRegistry({ url, clock, ...login }), topicPrefix, surroundings);
    return { format, routes: [] };
  }
  const registry = await openEmbeddedRegistry({ log, topic: `${topicPrefix}_schemas`, clock });
  shutdown.add('schema registry', () => registry.close());
  return { format: await registeredFormat(registry, topicPrefix, surroundings), routes: [registryRoutes(registry)] };
}

async function registeredFormat(
  registry: SchemaRegistry,
  topicPrefix: string,
  { clock, logger, terminal, shutdown: { signal } }: Surroundings,
): Promise<RecordFormat> {
  const serdes = createAvroSerdes(registry, clock);
  const format = avroFormat(serdes);
  customerTopics(topicPrefix, format);
  billingTopics(topicPrefix, format);
  shadowTopics(topicPrefix, format);
  syncTopics(topicPrefix, format);
  employeeTopics(topicPrefix, format);
  while (!signal.aborted) {
    try {
      await serdes.register();
      break;
    } catch (error) {
      if (!(error instanceof StreamError) || error.retry !== 'with-backoff') throw error;
      logger.warn('schemas cannot be registered yet', { error });
      terminal.status(`waiting for the schema registry: ${error.message}`);
      await clock.sleep(retryEveryMs, signal);
    }
  }
  return format;
}
