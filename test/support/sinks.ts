/** Sinks over a log and a database, with times that suit tests. */
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import type { Database } from '../../connectors/database.ts';
import type { Log } from '../../connectors/log.ts';
import type { Migration } from '../../connectors/migrations.ts';
import type { SinkTable } from '../../connectors/sink-table.ts';
import { createTableSink, type TableSink } from '../../connectors/table-sink.ts';
import { createRecordWriter } from '../../program/record-writer.ts';

export interface TestSinkOptions {
  readonly log: Log;
  readonly database: Database;
  readonly migrations: readonly Migration[];
  readonly tables: readonly SinkTable[];
  readonly deadLetterTopic: string;
  readonly name?: string;
}

export function testSink(options: TestSinkOptions): TableSink {
  const { log, name = 'view' } = options;
  const writer = createRecordWriter(log, systemClock);
  return createTableSink({
    ...options,
    name,
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    groupId: name,
    deadLetters: { topic: options.deadLetterTopic, write: (record) => writer.write(record) },
    sessionTimeoutMs: 1_500,
    heartbeatIntervalMs: 100,
  });
}
