/** What triggers note of a table of employees: which row was changed and how, never what is in it. */
import {
  bytesSerde,
  canonicalJsonSerde,
  defineTopic,
  stringSerde,
  type Topic,
  type TopicSettings,
} from '../../index.ts';
import { count, field, oneOf, topicSchema } from './avro-fields.ts';
import { readObject } from './reader.ts';
import { jsonFormat, type DeclaredValue, type RecordFormat } from './record-format.ts';

/** Customers do not come from there: how it is says nothing about answers on them. */
export const employeeSource = 'employees';

export const employeeActions = ['INSERT', 'UPDATE', 'DELETE'] as const;

/** The value of `bf_employee_cdc`, named as in the table. */
export interface EmployeeChange {
  /** Ascending: changes of one row come in the order in which they were made. */
  readonly action_id: number;
  readonly emp_id: number;
  readonly action: (typeof employeeActions)[number];
}

export interface EmployeeTopics {
  /** By `action_id`; one partition, in order. */
  readonly changes: Topic<string, EmployeeChange>;
  /** Rows that are no changes, as JSON. */
  readonly dlq: Topic<Uint8Array, Uint8Array>;
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseEmployeeChange(value: unknown): EmployeeChange {
  const reader = readObject(value, 'employee change');
  return {
    action_id: reader.count('action_id'),
    emp_id: reader.count('emp_id'),
    action: reader.oneOf('action', employeeActions),
  };
}

const employeeChangeValue: DeclaredValue<EmployeeChange> = {
  json: canonicalJsonSerde(parseEmployeeChange),
  avro: {
    level: 'BACKWARD_TRANSITIVE',
    parse: parseEmployeeChange,
    schema: topicSchema(
      'EmployeeCDC',
      field('action_id', count),
      field('emp_id', count),
      field('action', oneOf('EmployeeAction', employeeActions)),
    ),
  },
};

const dayMs = 86_400_000;
const keptFor = (days: number): TopicSettings => ({
  partitions: 1,
  configs: { 'cleanup.policy': 'delete', 'retention.ms': String(days * dayMs) },
});

/** The topics under their names, each with `prefix` (empty, or e.g. `staging.`) before it. */
export function employeeTopics(prefix = '', format: RecordFormat = jsonFormat): EmployeeTopics {
  const name = `${prefix}bf_employee_cdc`;
  const value = format.value(name, employeeChangeValue);
  return Object.freeze({
    changes: defineTopic({ name, key: stringSerde, value, create: keptFor(7) }),
    dlq: defineTopic({ name: `${name}_dlq`, key: bytesSerde, value: bytesSerde, create: keptFor(30) }),
  });
}
