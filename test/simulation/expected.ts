/** What a topic should hold, and how it differs. */
import type { ReadRecord } from '../support/cluster.ts';

/** By key, in their order. */
export type Values = ReadonlyMap<string | null, readonly unknown[]>;

export function byKey(records: readonly ReadRecord<string, unknown>[]): Map<string | null, unknown[]> {
  const found = new Map<string | null, unknown[]>();
  for (const { key, value } of records) {
    const values = found.get(key) ?? [];
    found.set(key, values);
    values.push(value);
  }
  return found;
}

/** The first value per key that is not as it should be. */
export function differences(what: string, found: Values, expected: Values): string[] {
  const wrong: string[] = [];
  for (const key of new Set([...found.keys(), ...expected.keys()])) {
    const values = found.get(key) ?? [];
    const wanted = expected.get(key) ?? [];
    const length = Math.max(values.length, wanted.length);
    for (let index = 0; index < length; index += 1)
      if (values[index] !== wanted[index]) {
        const [got, want] = [values[index], wanted[index]].map((value) =>
          value === undefined ? 'nothing' : JSON.stringify(value),
        );
        wrong.push(`${what} of ${String(key)}: ${got} instead of ${want} at ${index} of ${wanted.length}`);
        break;
      }
  }
  return wrong;
}
