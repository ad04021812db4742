/** What a field is to be on a side, and whether it is. */
import type { EntityMapping } from '../../../schemas/app/sync/mapping.ts';
import { entities, type FieldMapping, type RowRef, type Side } from '../../../schemas/app/sync/entities.ts';
import type { Pair } from '../../../schemas/app/sync/pair.ts';
import type { Value } from '../../../schemas/app/sync/values.ts';

/** The pair a row belongs to, once both of its rows are known. */
export type MappingOf = (row: RowRef) => EntityMapping | undefined;

export const fieldsOf = ({ entity }: Pick<Pair, 'entity'>): readonly FieldMapping[] => entities[entity].fields;

/** `undefined`: nobody has said, or what it refers to has no row on this side yet. */
export function wantedAt(pair: Pair, field: FieldMapping, side: Side, mappingOf: MappingOf): Value | undefined {
  const wanted = pair.wanted[field.name];
  if (wanted === undefined) return undefined;
  if (field.refersTo === undefined || wanted.value === null || wanted.side === side) return wanted.value;
  const mapping = mappingOf({ entity: field.refersTo, side: wanted.side, id: wanted.value });
  return side === 'legacy' ? mapping?.legacyId : mapping?.revampId;
}

/** Whether the value is the one that is wanted, or what this side's database makes of it. */
export function isSettled(pair: Pair, side: Side, name: string, { is, wanted }: Comparison): boolean {
  if (wanted === undefined || is === wanted) return wanted !== undefined;
  const rewritten = pair[side].rewritten[name];
  return rewritten !== undefined && rewritten.wrote === wanted && rewritten.became === is;
}

interface Comparison {
  readonly is: Value | undefined;
  readonly wanted: Value | undefined;
}
