/** What publishes the changes of employees that triggers note. */
import { employeeMigrations } from '../connectors/app/employee-migrations.ts';
import type { Connector } from '../connectors/connector.ts';
import type { OutgoingRecord } from '../connectors/outgoing-record.ts';
import { outboxSource, type OutboxRow } from '../connectors/outbox-source.ts';
import {
  employeeSource,
  employeeTopics,
  parseEmployeeChange,
  type EmployeeChange,
  type EmployeeTopics,
} from '../schemas/app/employees.ts';
import { deadLetterHeaders } from '../schemas/dead-letter.ts';
import { noHeaders } from '../schemas/record.ts';
import { stringSerde } from '../schemas/serde.ts';
import type { ConnectorPorts } from './connector-ports.ts';
import { pollerConnector } from './poller-connector.ts';

const table = 'bf_employee_cdc';
const dayMs = 86_400_000;

/** A poller, if there is a database of employees. */
export function employeeConnectors(ports: ConnectorPorts): readonly Connector[] {
  const { settings, format, employees: database } = ports;
  if (database === undefined || settings.employees === undefined) return [];
  const topics = employeeTopics(settings.topicPrefix, format);
  const { notesKeptDays, pollIntervalMs: intervalMs } = settings.employees;
  const applicationId = ports.applicationIdOf(table);
  const source = outboxSource({
    name: employeeSource,
    database,
    migrations: employeeMigrations,
    table: `public.${table}`,
    idColumn: 'action_id',
    toRecords: (row, nowMs) => [recordOf(row, { topics, applicationId, nowMs })],
    pruning: notesKeptDays === 0 ? undefined : { timeColumn: 'noted_at', afterMs: notesKeptDays * dayMs },
  });
  return [pollerConnector({ source, applicationId, intervalMs }, ports)];
}

interface RecordParts {
  readonly topics: EmployeeTopics;
  readonly applicationId: string;
  readonly nowMs: number;
}

function recordOf(row: OutboxRow, parts: RecordParts): OutgoingRecord {
  const { changes } = parts.topics;
  const noted = { action_id: numberOf(row['action_id']), emp_id: numberOf(row['emp_id']), action: row['action'] };
  let change: EmployeeChange;
  try {
    change = parseEmployeeChange(noted);
  } catch (error) {
    return deadLetterOf(noted, error, parts);
  }
  const key = changes.key.serialize(String(change.action_id));
  const value = changes.value.serialize(change);
  return { topic: changes.name, key, value, headers: noHeaders, timestampMs: parts.nowMs };
}

/** The driver gives numbers of 64 bits as text. Beyond 2^53 they are no counts. */
function numberOf(value: unknown): unknown {
  return typeof value === 'string' && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

/** The row as it was, its place in the table as its offset. */
function deadLetterOf(
  noted: Readonly<Record<'action_id' | 'emp_id' | 'action', unknown>>,
  error: unknown,
  { topics, applicationId, nowMs }: RecordParts,
): OutgoingRecord {
  const headers = deadLetterHeaders(noHeaders, {
    applicationId,
    taskId: table,
    node: employeeSource,
    topic: topics.changes.name,
    partition: 0,
    offset: Number(noted.action_id),
    timestampMs: nowMs,
    error,
    failedAtMs: nowMs,
    attempts: 1,
    parksKey: false,
  });
  const [key, value] = [String(noted.action_id), JSON.stringify(noted)].map((text) => stringSerde.serialize(text));
  return { topic: topics.dlq.name, key, value, headers, timestampMs: nowMs };
}
