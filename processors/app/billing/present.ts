import { StreamError } from '../../../index.ts';

/** The value of a record, where each has one: commands, events. `what`: such as "a command". Throws `RECORD_INVALID`. */
export function present<T>(value: T | null, what: string): T {
  if (value !== null) return value;
  throw new StreamError('RECORD_INVALID', `${what} is never empty`, { facts: { reason: 'value_missing' } });
}
