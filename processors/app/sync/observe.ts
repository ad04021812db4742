/** What a change of a row means for its pair: an echo of our own write, or somebody's edit. Pure. */
import type { FieldMapping } from '../../../schemas/app/sync/entities.ts';
import type { Claim, SyncConflict } from '../../../schemas/app/sync/mapping.ts';
import type { Pair, PairSide, Rewritten, WantedField, Write } from '../../../schemas/app/sync/pair.ts';
import { comparePositions, type RowImage, type Value, type Values } from '../../../schemas/app/sync/values.ts';
import { fieldsOf, isSettled, wantedAt, type MappingOf } from './fields.ts';

/** `echo`: what came back is our own write; `duplicate`: it came before. */
export type ImageOutcome = 'applied' | 'echo' | 'duplicate';

export interface Observation {
  readonly pair: Pair;
  readonly conflicts: readonly SyncConflict[];
  readonly outcome: ImageOutcome;
}

/** Takes note of a change of the row that the pair has on that side. */
export function observe(pair: Pair, image: RowImage, mappingOf: MappingOf): Observation {
  if (isOld(pair[image.side], image)) return { pair, conflicts: [], outcome: 'duplicate' };
  if (image.kind === 'deletion') return observeDeletion(pair, image, mappingOf);
  const { writing } = pair[image.side];
  return isExactly(writing, image) ? observeEcho(pair, image, writing) : observeEdits(pair, image, mappingOf);
}

/** Changes are delivered at least once: after a crash the last ones come again. A change may begin where the snapshot ends. */
function isOld({ position, isSnapshot }: PairSide, image: RowImage): boolean {
  if (position === undefined) return false;
  const order = comparePositions(image.position, position);
  return order < 0 || (order === 0 && !(isSnapshot === true && image.kind !== 'snapshot'));
}

/** Whether the image shows the row right after our statement, before anybody else could touch it. */
function isExactly(writing: Write | undefined, { kind, stamp }: RowImage): writing is Write {
  return kind === 'change' && writing !== undefined && stamp.eventId === writing.eventId;
}

function seenSide(side: PairSide, image: RowImage): PairSide {
  const { seen: _, ...rest } = side;
  const moved = {
    ...rest,
    position: image.position,
    isSnapshot: image.kind === 'snapshot',
    version: Math.max(side.version, image.stamp.version),
  };
  return image.kind === 'deletion' ? moved : { ...moved, seen: { ...side.seen, ...image.values } };
}

function withoutWriting({ writing: _, ...rest }: PairSide): PairSide {
  return rest;
}

/**
 * What our own statement left in the row is never an edit, whatever it is and whatever the row says of its source: that alone makes loops
 * impossible. Where it is not what we wrote, the database made it so, and would do it again.
 */
function observeEcho(pair: Pair, image: RowImage, { values }: Write): Observation {
  const before = pair[image.side];
  const side = withoutWriting(seenSide(before, image));
  const rewritten: Record<string, Rewritten> = {};
  for (const [name, expected] of Object.entries<Value>({ ...before.seen, ...values })) {
    const known = before.rewritten[name];
    // Of a field that it did not touch it is known what was once written there.
    const wrote = !Object.hasOwn(values, name) && known?.became === expected ? known.wrote : expected;
    const found = rewriting(wrote, side.seen?.[name], known);
    if (found !== undefined) rewritten[name] = found;
  }
  return { pair: { ...pair, [image.side]: { ...side, rewritten } }, conflicts: [], outcome: 'echo' };
}

function rewriting(wrote: Value, became: Value | undefined, known: Rewritten | undefined): Rewritten | undefined {
  if (became !== undefined && became !== wrote) return { wrote, became };
  return known?.became === became ? known : undefined;
}

function observeDeletion(pair: Pair, image: RowImage, mappingOf: MappingOf): Observation {
  const before = pair[image.side];
  const isEcho = before.writing?.operation === 'delete';
  const moved = { ...seenSide(before, image), rewritten: {} };
  // An insertion comes after the end of the row it follows; anything else finds no row any more.
  const after = moved.writing?.operation === 'insert' ? moved : withoutWriting(moved);
  const next = { ...pair, [image.side]: after };
  if (isEcho || pair.deleted !== undefined) return { pair: next, conflicts: [], outcome: isEcho ? 'echo' : 'applied' };
  const deleted = { side: image.side, clock: image.clock };
  const conflicts = fieldsOf(pair).flatMap((field) => {
    const wanted = pair.wanted[field.name];
    const isKnown = isSettled(pair, image.side, field.name, {
      is: before.seen?.[field.name],
      wanted: wantedAt(pair, field, image.side, mappingOf),
    });
    return wanted === undefined || wanted.side === image.side || isKnown
      ? []
      : [conflictOf(pair, 'deletion', field, { winner: deleted, loser: claimOf(wanted) })];
  });
  return { pair: { ...next, deleted }, conflicts, outcome: 'applied' };
}

function observeEdits(pair: Pair, image: RowImage, mappingOf: MappingOf): Observation {
  const before = pair[image.side];
  const { known, side } = included(before, image);
  const seen: Pair = { ...pair, [image.side]: side };
  const start = known === undefined ? reborn(seen) : seen;
  const wanted: Record<string, WantedField> = { ...start.wanted };
  const conflicts: SyncConflict[] = [];
  for (const field of fieldsOf(pair)) {
    const value = image.values[field.name];
    if (value === undefined || value === known?.[field.name]) continue;
    const found = takeEdit(start, field, { value, image, known: known?.[field.name] }, mappingOf);
    if (found.wanted !== undefined) wanted[field.name] = found.wanted;
    if (found.conflict !== undefined) conflicts.push(found.conflict);
  }
  return { pair: { ...start, wanted }, conflicts, outcome: 'applied' };
}

/** The side with the image, and what of it is no news. A snapshot may show our write together with what came after it. */
function included(before: PairSide, image: RowImage): { readonly known: Values | undefined; readonly side: PairSide } {
  const { writing, seen: known } = before;
  const side = seenSide(before, image);
  return image.kind === 'snapshot' && writing !== undefined && image.stamp.version >= writing.version
    ? { known: { ...known, ...writing.values }, side: withoutWriting(side) }
    : { known, side };
}

/** A row that is there again after its end: what was wanted before counts no more. */
function reborn(pair: Pair): Pair {
  if (pair.deleted === undefined) return pair;
  const { deleted: _, ...rest } = pair;
  return { ...rest, wanted: {} };
}

interface Edit {
  readonly value: Value;
  readonly image: RowImage;
  /** What the field was before. */
  readonly known: Value | undefined;
}

interface Verdict {
  readonly wanted?: WantedField;
  readonly conflict?: SyncConflict;
}

/**
 * Who had seen what was wanted and changed it has the last word, whatever the clocks say. Of changes that did not know of each other the later
 * one wins, at the same time legacy's.
 */
function takeEdit(pair: Pair, field: FieldMapping, { value, image, known }: Edit, mappingOf: MappingOf): Verdict {
  const { side, clock } = image;
  const { name } = field;
  const edit: WantedField = { value, side, clock };
  if (pair.deleted !== undefined)
    return { conflict: conflictOf(pair, 'deletion', field, { winner: pair.deleted, loser: claimOf(edit) }) };
  const before = pair.wanted[name];
  if (before === undefined) return { wanted: edit };
  const wanted = wantedAt(pair, field, side, mappingOf);
  if (isSettled(pair, side, name, { is: value, wanted })) return {};
  if (before.side === side) return { wanted: { ...edit, clock: Math.max(clock, before.clock) } };
  if (isSettled(pair, side, name, { is: known, wanted }))
    return { wanted: { ...edit, clock: Math.max(clock, before.clock + 1) } };
  const wins = clock > before.clock || (clock === before.clock && side === 'legacy');
  const [winner, loser] = wins ? [edit, before] : [before, edit];
  const conflict = conflictOf(pair, 'field', field, { winner: claimOf(winner), loser: claimOf(loser) });
  return wins ? { wanted: edit, conflict } : { conflict };
}

function claimOf({ side, clock, value }: WantedField): Claim {
  return value === null ? { side, clock } : { side, clock, value };
}

function conflictOf(
  { mapId, entity }: Pair,
  kind: SyncConflict['kind'],
  { name: field }: FieldMapping,
  claims: Pick<SyncConflict, 'winner' | 'loser'>,
): SyncConflict {
  return { mapId, entity, kind, field, ...claims };
}
