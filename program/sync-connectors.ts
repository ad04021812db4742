/** What carries the two-way sync between the log and both databases: captures and writers. */
import { legacySyncApplication } from '../api/app/sync-application.ts';
import { forgetEvents, publicationOf, syncMigrations } from '../connectors/app/sync-migrations.ts';
import { carryOut } from '../connectors/app/sync-writer.ts';
import { postgresCapture } from '../connectors/change-capture/postgres-capture.ts';
import { createCommandSink } from '../connectors/command-sink.ts';
import { measuresWith, type Connector } from '../connectors/connector.ts';
import type { Database } from '../connectors/database.ts';
import { migrate } from '../connectors/migrations.ts';
import { createSyncCounts } from '../processors/app/sync/counts.ts';
import { connectorTopics } from '../schemas/app/connector-topics.ts';
import type { SyncCommand } from '../schemas/app/sync/command.ts';
import { sides, type Side } from '../schemas/app/sync/entities.ts';
import { syncTopics } from '../schemas/app/sync/topics.ts';
import { legacySyncName } from '../topology/app/legacy-sync.ts';
import { commandSinkMeasures } from './command-sink-measures.ts';
import type { ConnectorPorts } from './connector-ports.ts';

const counts = createSyncCounts();

const measured = {
  errors: 'sync_errors_total',
  deadLetters: 'sync_dead_letters_total',
  waiting: 'sync_waiting',
  lag: 'sync_lag_records',
} as const;

/** The topology counts what the measures of its connectors tell. */
export const legacySyncOfProgram = legacySyncApplication(counts);

/** A writer for each side, and what captures its changes unless somebody else does. */
export function syncConnectors(ports: ConnectorPorts): readonly Connector[] {
  const { settings, synced } = ports;
  if (synced === undefined || !settings.topologies.includes(legacySyncName)) return [];
  const captured = settings.sync?.captures === true ? settings.sync : undefined;
  const connectors = sides.map((side) => {
    const capture = captured === undefined ? [] : [captureOf(side, captured[side].reveal(), ports)];
    return sideConnector(side, synced[side], capture, ports);
  });
  return [...connectors, meter];
}

const meter: Connector = {
  name: legacySyncName,
  start: () => undefined,
  close: () => Promise.resolve(),
  measures: () => {
    const measure = measuresWith({});
    const waiting = [...counts.waiting.values()].reduce((sum, count) => sum + count, 0);
    return [
      measure('sync_echo_suppressed_total', 'Changes that were our own writes coming back.', counts.echoes),
      measure('sync_field_conflicts_total', 'Changes of two sides that did not know of each other.', counts.conflicts),
      measure('sync_pending_pairs', 'Pairs of rows that wait for something outside, in the tasks here.', waiting),
    ];
  },
};

function captureOf(side: Side, connectionString: string, ports: ConnectorPorts): Connector {
  const { log, clock, logger, settings } = ports;
  const topics = syncTopics(settings.topicPrefix);
  return postgresCapture({
    name: side,
    connectionString,
    publication: publicationOf(side),
    slot: slotOf(ports.applicationIdOf(legacySyncName), side),
    topic: (side === 'legacy' ? topics.legacyEvents : topics.revampEvents).name,
    log,
    clock,
    logger,
  });
}

/** Slots are named for all databases of a server: lower case letters, digits and underscores, at most 63. */
function slotOf(applicationId: string, side: Side): string {
  return `${applicationId
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '_')
    .slice(0, 50)}_${side}`;
}

function sideConnector(
  side: Side,
  database: Database,
  captures: readonly Connector[],
  ports: ConnectorPorts,
): Connector {
  const { settings, format, logger } = ports;
  const topics = syncTopics(settings.topicPrefix, format);
  const written: Record<SyncCommand['operation'], number> = { insert: 0, update: 0, delete: 0 };
  const refused = { count: 0 };
  const name = `${settings.topicPrefix}${legacySyncName}-${side}`;
  const sink = createCommandSink<SyncCommand>({
    ...ports,
    name,
    groupId: ports.applicationIdOf(`${legacySyncName}-${side}`),
    topic: topics.commands.name,
    resultTopic: topics.results.name,
    checkpointTopic: connectorTopics(settings.topicPrefix).checkpoints.name,
    deadLetters: { topic: topics.dlq.name, write: ports.write },
    sessionTimeoutMs: settings.sessionTimeoutMs,
    open: async () => {
      for (const migration of syncMigrations(side))
        for (const applied of await migrate(database, [migration]))
          logger.info('tables were migrated', { side, applied });
      await database.run(forgetEvents);
      for (const capture of captures) capture.start();
    },
    prepare: async (values) => topics.commands.value.prepare?.(values),
    decode: ({ value }) => {
      const command = value === undefined ? undefined : topics.commands.value.deserialize(value);
      return command?.side === side ? command : undefined;
    },
    carryOut: async (command) => {
      const result = await carryOut(database, command);
      if (result.outcome === 'written') written[command.operation] += 1;
      if (result.outcome === 'refused') refused.count += 1;
      const { results } = topics;
      return { key: results.key.serialize(command.mapId), value: results.value.serialize(result) };
    },
  });
  return {
    name,
    start: () => sink.start(),
    close: async () => {
      await sink.close();
      await Promise.all(captures.map((capture) => capture.close()));
    },
    measures: () => [
      ...captures.flatMap((capture) => capture.measures()),
      ...Object.entries(written).map(([operation, count]) =>
        measuresWith({ side, operation })('sync_writes_total', 'Rows written to a side by this process.', count),
      ),
      measuresWith({ side })('sync_refused_total', 'Writes that the database of a side refused.', refused.count),
      ...commandSinkMeasures(sink, measured, { side }),
    ],
  };
}
