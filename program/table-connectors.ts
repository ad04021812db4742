/** The connectors that show topics as tables: customers and billing in PostgreSQL. */
import type { ConnectorPorts } from './connector-ports.ts';
import { billingView, billingViewMigrations } from '../connectors/app/billing-view.ts';
import { customerView, customerViewMigrations } from '../connectors/app/customer-view.ts';
import { measuresWith, type Connector, type Measure } from '../connectors/connector.ts';
import type { Database } from '../connectors/database.ts';
import { createTableSink, type TableSink, type TableSinkOptions } from '../connectors/table-sink.ts';
import { billingTopics } from '../schemas/app/billing/topics.ts';
import { customerTopics } from '../schemas/app/customer/topics.ts';
import { billingProjectionsName } from '../topology/app/billing-projections.ts';
import { customerMergeName } from '../topology/app/customer-merge.ts';

/** The sinks of the topologies that run here. */
export function tableConnectors(ports: ConnectorPorts, database: Database): readonly Connector[] {
  const { topologies, topicPrefix } = ports.settings;
  const connectors: Connector[] = [];
  if (topologies.includes(customerMergeName)) {
    const { merged, dlq } = customerTopics(topicPrefix, ports.format);
    const tables = [customerView(merged)];
    const migrations = customerViewMigrations;
    const sink = sinkOf(ports, { name: 'customer-view', database, tables, migrations, deadLetterTopic: dlq.name });
    connectors.push(connectorOf('customer-view', sink, stalenessOf));
  }
  if (topologies.includes(billingProjectionsName)) {
    const topics = billingTopics(topicPrefix, ports.format);
    const tables = billingView(topics);
    const migrations = billingViewMigrations;
    const deadLetterTopic = topics.deadLetter.name;
    const sink = sinkOf(ports, { name: 'billing-view', database, tables, migrations, deadLetterTopic });
    connectors.push(connectorOf('billing-view', sink));
  }
  return connectors;
}

type SinkParts = Pick<TableSinkOptions, 'name' | 'database' | 'tables' | 'migrations'> & {
  readonly deadLetterTopic: string;
};

function sinkOf(ports: ConnectorPorts, { deadLetterTopic, ...parts }: SinkParts): TableSink {
  return createTableSink({
    ...ports,
    ...parts,
    // Two sets of topics may be shown in one database, though not in the same tables.
    name: `${ports.settings.topicPrefix}${parts.name}`,
    groupId: ports.applicationIdOf(parts.name),
    deadLetters: { topic: deadLetterTopic, write: ports.write },
    sessionTimeoutMs: ports.settings.sessionTimeoutMs,
  });
}

function connectorOf(
  name: string,
  sink: TableSink,
  more: (sink: TableSink) => readonly Measure[] = () => [],
): Connector {
  const measure = measuresWith({ sink: name });
  return {
    name,
    start: () => sink.start(),
    close: () => sink.close(),
    measures: () => {
      const { records, transactions, errors, deadLetters, isWaiting } = sink.counts;
      return [
        measure('sink_records_total', 'Records shown by this process.', records),
        measure('sink_transactions_total', 'Transactions of the database.', transactions),
        measure('sink_errors_total', 'Attempts that the database, or the log, did not let succeed.', errors),
        measure('sink_dead_letters_total', 'Records put aside because they cannot be shown.', deadLetters),
        measure('sink_waiting', 'Whether the sink waits for its database.', isWaiting ? 1 : 0),
        ...sink.lags().map(({ topic, partition, records: lag }) => {
          const ofPartition = measuresWith({ sink: name, topic, partition: String(partition) });
          return ofPartition('sink_lag_records', 'Records not shown yet.', lag);
        }),
        ...more(sink),
      ];
    },
  };
}

function stalenessOf(sink: TableSink): readonly Measure[] {
  const help = 'How long the oldest change that the view does not show has waited, in the partitions of this process.';
  const value = Math.max(0, ...sink.lags().map(({ seconds }) => seconds));
  return [measuresWith({})('mv_staleness_seconds', help, value)];
}
