import { jsonFormat, type DeclaredValue, type RecordFormat } from '../../schemas/app/record-format.ts';
import { billingTopics } from '../../schemas/app/billing/topics.ts';
import { customerChangeValue } from '../../schemas/app/customer/avro.ts';
import { customerTopics } from '../../schemas/app/customer/topics.ts';
import { employeeTopics } from '../../schemas/app/employees.ts';
import { syncTopics } from '../../schemas/app/sync/topics.ts';

/** What every topic of the application declares of its values, by topic; of the change topics, what those may write who know Avro but not Debezium. */
export function declaredValues(): ReadonlyMap<string, DeclaredValue<unknown>> {
  const declared = new Map<string, DeclaredValue<unknown>>();
  const recording: RecordFormat = {
    ...jsonFormat,
    value: (topic, value) => {
      declared.set(topic, value as DeclaredValue<unknown>);
      return value.json;
    },
  };
  customerTopics('', recording);
  billingTopics('', recording);
  syncTopics('', recording);
  employeeTopics('', recording);
  return declared.set('customer.changes', customerChangeValue as DeclaredValue<unknown>);
}
