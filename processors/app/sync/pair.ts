/** How a pair goes on: what happens to one of its rows, and what became of a write. Pure. */
import { StreamError } from '../../../index.ts';
import type { SyncCommand, SyncResult } from '../../../schemas/app/sync/command.ts';
import { parseRef, sides } from '../../../schemas/app/sync/entities.ts';
import type { EntityMapping, SyncConflict } from '../../../schemas/app/sync/mapping.ts';
import type { Pair, PairSide, Waiting, Write } from '../../../schemas/app/sync/pair.ts';
import type { RowImage } from '../../../schemas/app/sync/values.ts';
import type { MappingOf } from './fields.ts';
import { observe, type ImageOutcome } from './observe.ts';
import { settle } from './settle.ts';

export interface Advance {
  readonly pair: Pair;
  readonly outcome: ImageOutcome;
  readonly commands: readonly SyncCommand[];
  readonly conflicts: readonly SyncConflict[];
  /** Both rows are known now, and were not before. */
  readonly mapping?: EntityMapping;
  /** Rows that bear the mark of this pair, but are copies of its row. */
  readonly strays: readonly RowImage[];
  readonly waits?: Waiting;
}

/** Changes that wait for the id of the row we are inserting. */
const unplacedMax = 1_000;

const blankSide: PairSide = { version: 0, rewritten: {} };

function newPair(mapId: string): Pair {
  const born = parseRef(mapId);
  if (born === undefined) throw new StreamError('RECORD_INVALID', 'the pair is named after no row');
  const pair: Pair = { mapId, entity: born.entity, wanted: {}, legacy: blankSide, revamp: blankSide };
  return { ...pair, [born.side]: { ...blankSide, id: born.id } };
}

/** A row of the pair changed, or one that says so. Throws `RECORD_INVALID` if too many wait. */
export function takeImage(mapId: string, before: Pair | undefined, image: RowImage, mappingOf: MappingOf): Advance {
  const pair = before ?? newPair(mapId);
  const { id, writing } = pair[image.side];
  if (id === undefined && writing?.operation === 'insert') return unplaced(pair, image, writing);
  if (id !== undefined && id !== image.id)
    return { pair, outcome: 'applied', commands: [], conflicts: [], strays: [image] };
  const placed = { ...pair, [image.side]: { ...pair[image.side], id: image.id } };
  const { pair: seen, conflicts, outcome } = observe(placed, image, mappingOf);
  // Whatever was refused may be accepted of the row as it is now.
  return advanced(pair, { pair: outcome === 'applied' ? withoutRefusals(seen) : seen, conflicts, outcome }, mappingOf);
}

/** A write was carried out, or was not. */
export function takeResult(pair: Pair, result: SyncResult, mappingOf: MappingOf): Advance {
  const side = pair[result.side];
  const { writing } = side;
  if (writing?.eventId !== result.eventId)
    return advanced(pair, { pair, conflicts: [], outcome: 'duplicate' }, mappingOf);
  return placed(pair, result, sideAfter(side, writing, result), mappingOf);
}

function sideAfter(side: PairSide, writing: Write, { outcome, id, version = 0, sqlState = '' }: SyncResult): PairSide {
  const { writing: _, ...idle } = side;
  const named = side.id !== undefined || id === undefined ? {} : { id };
  switch (outcome) {
    case 'refused':
      return { ...idle, refused: sqlState };
    case 'stale':
      return { ...idle, ...named, version: Math.max(side.version, version) };
    case 'missing':
      // The end of a row that is still seen is on its way, and ends the write.
      return side.seen === undefined ? idle : side;
    case 'written':
      return { ...side, ...named, writing: { ...writing, unplaced: [] } };
  }
}

/** What was waited for may be there. */
export function wake(pair: Pair, mappingOf: MappingOf): Advance {
  return advanced(pair, { pair: withoutRefusals(pair), conflicts: [], outcome: 'applied' }, mappingOf);
}

function withoutRefusals(pair: Pair): Pair {
  let next = pair;
  for (const side of sides) {
    const { refused, ...rest } = pair[side];
    if (refused !== undefined) next = { ...next, [side]: rest };
  }
  return next;
}

function unplaced(pair: Pair, image: RowImage, writing: Write): Advance {
  if (writing.unplaced.length >= unplacedMax)
    throw new StreamError('RECORD_INVALID', 'too many changes wait for the result of an insertion');
  const side = { ...pair[image.side], writing: { ...writing, unplaced: [...writing.unplaced, image] } };
  return { pair: { ...pair, [image.side]: side }, outcome: 'applied', commands: [], conflicts: [], strays: [] };
}

/** Now that it is known which row is ours: what waited for that is looked at, in its order. */
function placed(before: Pair, result: SyncResult, side: PairSide, mappingOf: MappingOf): Advance {
  let pair: Pair = { ...before, [result.side]: side };
  const conflicts: SyncConflict[] = [];
  const strays: RowImage[] = [];
  let outcome: ImageOutcome = 'applied';
  for (const image of before[result.side].writing?.unplaced ?? [])
    if (image.id === side.id) {
      const observed = observe(pair, image, mappingOf);
      pair = observed.pair;
      conflicts.push(...observed.conflicts);
      if (observed.outcome === 'echo') outcome = 'echo';
    } else strays.push(image);
  return { ...advanced(before, { pair, conflicts, outcome }, mappingOf), strays };
}

function advanced(
  before: Pair,
  { pair, conflicts, outcome }: Pick<Advance, 'pair' | 'conflicts' | 'outcome'>,
  mappingOf: MappingOf,
): Advance {
  const settled = settle(pair, mappingOf);
  const mapping = mappingOfPair(before) === undefined ? mappingOfPair(pair) : undefined;
  return { ...settled, conflicts, outcome, strays: [], ...(mapping === undefined ? {} : { mapping }) };
}

function mappingOfPair({ mapId, entity, legacy, revamp }: Pair): EntityMapping | undefined {
  return legacy.id === undefined || revamp.id === undefined
    ? undefined
    : { mapId, entity, legacyId: legacy.id, revampId: revamp.id };
}
