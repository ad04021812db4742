/** What is to be written so that both rows of a pair are as they are wanted. Pure. */
import { canonicalJson } from '../../../index.ts';
import { compact } from '../../../schemas/app/reader.ts';
import type { SyncCommand } from '../../../schemas/app/sync/command.ts';
import { otherSide, sides, type Side } from '../../../schemas/app/sync/entities.ts';
import type { Pair, Waiting } from '../../../schemas/app/sync/pair.ts';
import type { Value, Values } from '../../../schemas/app/sync/values.ts';
import { uuid5 } from '../../../schemas/app/billing/names.ts';
import { fieldsOf, isSettled, wantedAt, type MappingOf } from './fields.ts';

export interface Settlement {
  readonly pair: Pair;
  readonly commands: readonly SyncCommand[];
  /** What it cannot go on without. */
  readonly waits?: Waiting;
}

interface Plan {
  readonly operation: SyncCommand['operation'];
  readonly values: Values;
}

/** At most one write is under way on each side: what it left is known before the next one is thought of. */
export function settle(pair: Pair, mappingOf: MappingOf): Settlement {
  let result: Settlement = { pair, commands: [] };
  for (const side of sides) {
    const { writing, refused } = pair[side];
    const plan = writing === undefined && refused === undefined ? planFor(pair, side, mappingOf) : undefined;
    if (refused !== undefined) result = { ...result, waits: { side, reason: 'refused' } };
    else if (plan === 'waits') result = { ...result, waits: { side, reason: 'reference' } };
    else if (plan !== undefined) result = { ...result, ...issued(result, side, plan) };
  }
  return result;
}

function planFor(pair: Pair, side: Side, mappingOf: MappingOf): Plan | 'waits' | undefined {
  const { seen } = pair[side];
  if (pair.deleted !== undefined) return seen === undefined ? undefined : { operation: 'delete', values: {} };
  const values: Record<string, Value> = {};
  for (const field of fieldsOf(pair)) {
    const { name } = field;
    if (pair.wanted[name] === undefined) continue;
    const wanted = wantedAt(pair, field, side, mappingOf);
    if (wanted === undefined) return 'waits';
    if (seen === undefined || !isSettled(pair, side, name, { is: seen[name], wanted })) values[name] = wanted;
  }
  if (Object.keys(values).length === 0) return undefined;
  return { operation: seen === undefined ? 'insert' : 'update', values };
}

function issued(
  { pair, commands }: Settlement,
  side: Side,
  { operation, values }: Plan,
): Pick<Settlement, 'pair' | 'commands'> {
  const { mapId, entity } = pair;
  const before = pair[side];
  const version = before.version + 1;
  const eventId = uuid5(mapId, side, String(version), operation, canonicalJson(values) ?? '');
  const command: SyncCommand = compact({
    eventId,
    mapId,
    entity,
    side,
    operation,
    version,
    id: before.id,
    otherId: pair[otherSide(side)].id,
    values,
  });
  const writing = { operation, eventId, version, values, unplaced: [] };
  return { pair: { ...pair, [side]: { ...before, version, writing } }, commands: [...commands, command] };
}
