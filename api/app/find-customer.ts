import type { Ask } from './application.ts';
import { isObject } from '../peer-answer.ts';

/** Paths of a customer that the systems disagree on; none while there is none. */
export async function findCustomer(ask: Ask): Promise<readonly string[]> {
  const answer = await ask('/customers?hasConflicts=true&limit=1');
  const items: unknown = isObject(answer) ? answer['items'] : undefined;
  const first: unknown = Array.isArray(items) ? items[0] : undefined;
  if (!isObject(first) || typeof first['email'] !== 'string') return [];
  const path = `/customers/${encodeURIComponent(first['email']).replaceAll('%40', '@')}`;
  return [path, `${path}/lineage`, `${path}/conflicts`];
}
