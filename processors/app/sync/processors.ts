/** The steps of the two-way sync: what each remembers, and what it sends on. What is decided stands in `pair.ts`. */
import { StreamError, defineProcessor, defineStore, jsonSerde, stringSerde } from '../../../index.ts';
import type { Header, NoStores, ProcessorContext, StreamRecord } from '../../../index.ts';
import type { EdgeValue } from '../../../schemas/app/record-format.ts';
import type { SyncCommand, SyncResult } from '../../../schemas/app/sync/command.ts';
import { formatRef, sides, type RowRef, type Side } from '../../../schemas/app/sync/entities.ts';
import { entityMappingSerde, type EntityMapping, type SyncConflict } from '../../../schemas/app/sync/mapping.ts';
import { pairSerde, type Pair, type Patience, type Waiting } from '../../../schemas/app/sync/pair.ts';
import type { RowImage, SyncSignal } from '../../../schemas/app/sync/values.ts';
import { headerText } from '../customer/change-input.ts';
import type { SyncCounts } from './counts.ts';
import { decodeImage, hopHeader } from './decode.ts';
import { takeImage, takeResult, wake, type Advance } from './pair.ts';

/** The pair of every row there ever was, by `entity:side:id`. */
const mapByRow = defineStore('map-by-row', { key: stringSerde, value: stringSerde });

/** Both rows of every pair, and what is wanted of them. */
export const syncPairs = defineStore('sync-pairs', { key: stringSerde, value: pairSerde });

/** The pairs that wait, by when they are looked at again: `<16 digits of ms>|<pair>`. */
export const pendingPairs = defineStore('pending-refs', {
  key: stringSerde,
  value: jsonSerde<Patience>(),
  ordered: true,
});

/** Which rows belong together, by either of them; on every instance, for references between rows. */
const mappings = defineStore('entity-mappings', { key: stringSerde, value: entityMappingSerde });

/** A pair waits no longer than this before it becomes a dead letter. */
export const patienceMs = 300_000;
/** Between two looks at a waiting pair: grows with its age. */
const look = { everyMs: 200, longestMs: 30_000, pairsMax: 1_000 } as const;
const count = { everyMs: 5_000, pairsMax: 10_000 } as const;

/** What one side's changes are forwarded as: keyed by row. */
export function decodeStep(side: Side) {
  return defineProcessor({
    name: `decode-${side}`,
    process(
      { key, value, headers, timestampMs }: StreamRecord<EdgeValue | null, EdgeValue | null>,
      { forward, drop }: ProcessorContext<string, RowImage, NoStores>,
    ) {
      const image = decodeImage({ side, key, value, headers, timestampMs });
      if (image === undefined) drop('refused');
      else forward({ key: formatRef(image), value: image, timestampMs });
    },
  });
}

const identifyStores = { mapByRow };

/** Which pair a row belongs to: the one its mark names when it is first seen, else a new one; the same for ever. */
export const identifyStep = defineProcessor({
  name: 'identify',
  stores: identifyStores,
  process(
    { key: ref, value: image, timestampMs }: StreamRecord<string, RowImage>,
    { stores, forward }: ProcessorContext<string, RowImage, typeof identifyStores>,
  ) {
    const known = stores.mapByRow.get(ref);
    const mapId = known ?? image.stamp.mapId ?? ref;
    if (known === undefined) stores.mapByRow.put(ref, mapId);
    forward({ key: mapId, value: image, timestampMs });
  },
});

const learnStores = { mappings };

export const learnMappings = defineProcessor<string | null, EntityMapping | null, never, never, typeof learnStores>({
  name: 'learn-mappings',
  stores: learnStores,
  process({ value: mapping }, { stores, drop }) {
    if (mapping === null) {
      drop('null-value');
      return;
    }
    const { entity, legacyId, revampId } = mapping;
    const ids = { legacy: legacyId, revamp: revampId };
    for (const side of sides) stores.mappings.put(formatRef({ entity, side, id: ids[side] }), mapping);
  },
});

/** What reaches a pair. */
export type PairInput = SyncSignal | { readonly kind: 'result'; readonly result: SyncResult };

/** What a pair sends on, under the name of a pair. */
export type PairOutput =
  | { readonly kind: 'command'; readonly command: SyncCommand }
  | { readonly kind: 'conflict'; readonly conflict: SyncConflict }
  | { readonly kind: 'mapping'; readonly mapping: EntityMapping }
  | { readonly kind: 'signal'; readonly signal: SyncSignal };

const pairStores = { syncPairs, pendingPairs, mappings };
type Context = ProcessorContext<string, PairOutput, typeof pairStores>;

/** Keeps the two rows of each pair alike. */
export function pairStep(counts: SyncCounts) {
  return defineProcessor({
    name: 'pair',
    stores: pairStores,
    init(context: Context) {
      context.schedule({ everyMs: look.everyMs, by: 'wall-clock' }, (nowMs) => lookAtPending(context, nowMs));
      context.schedule({ everyMs: count.everyMs, by: 'wall-clock' }, () => {
        const { pendingPairs: pending } = context.stores;
        counts.waiting.set(context.taskId, [...pending.range({ limit: count.pairsMax })].length);
      });
    },
    process({ key: mapId, value: input, timestampMs, headers }: StreamRecord<string, PairInput>, context: Context) {
      const before = context.stores.syncPairs.get(mapId);
      const advance = advanceOf(mapId, before, input, { context, headers });
      if (advance === undefined) {
        context.drop('refused');
        return;
      }
      if (advance.outcome === 'duplicate') context.drop('duplicate');
      if (advance.outcome === 'echo') counts.echoes += 1;
      counts.conflicts += advance.conflicts.length;
      keep(context, before, advance, isProgress(input, advance));
      send(context, mapId, advance, { timestampMs, headers });
    },
    close({ taskId }: Context) {
      counts.waiting.delete(taskId);
    },
  });
}

interface Surroundings {
  readonly context: Context;
  readonly headers: readonly Header[];
}

const mappingsOf =
  ({ stores }: Context) =>
  (row: RowRef): EntityMapping | undefined =>
    stores.mappings.get(formatRef(row));

/** `undefined`: there is no such pair, or it waits no longer. */
function advanceOf(
  mapId: string,
  before: Pair | undefined,
  input: PairInput,
  { context, headers }: Surroundings,
): Advance | undefined {
  const mappingOf = mappingsOf(context);
  if (input.kind === 'image') return takeImage(mapId, before, input.image, mappingOf);
  if (before === undefined) return undefined;
  if (input.kind === 'result') return takeResult(before, input.result, mappingOf);
  const { patience } = before;
  if (patience === undefined) return undefined;
  // Replayed by an operator: it gets its time once more.
  if (headerText(headers, 'rivulet.dlq.replay-of') !== undefined) return wake(before, mappingOf);
  const { reason, side } = patience;
  const sqlState = before[side].refused;
  throw new StreamError('RECORD_INVALID', `${mapId} cannot be kept in sync: ${problems[reason]}`, {
    facts: { side, ...(sqlState === undefined ? {} : { sqlState }) },
  });
}

const problems: Readonly<Record<Waiting['reason'], string>> = {
  reference: 'a row it refers to has no counterpart',
  refused: 'the database refuses it',
};

/** Whether a pair that waited has got on, so that its time begins anew if it has to wait again. */
function isProgress(input: PairInput, { outcome }: Advance): boolean {
  if (input.kind === 'result') return input.result.outcome === 'written' && outcome !== 'duplicate';
  return input.kind === 'expired' || outcome === 'applied';
}

function timerKey(atMs: number, mapId: string): string {
  return `${String(atMs).padStart(16, '0')}|${mapId}`;
}

function keep(context: Context, before: Pair | undefined, { pair, waits }: Advance, isAnew: boolean): void {
  const { stores, wallClockMs: nowMs } = context;
  const { mapId } = pair;
  const known = before?.patience;
  if (known !== undefined) stores.pendingPairs.delete(timerKey(known.dueMs, mapId));
  const { patience: _, ...rest } = pair;
  if (waits === undefined) {
    // Until the write that was tried again succeeds, it is known for how long it has not.
    stores.syncPairs.put(mapId, isAnew || known === undefined ? rest : pair);
    return;
  }
  const sinceMs = isAnew || known === undefined ? nowMs : known.sinceMs;
  const waitMs = Math.min(Math.max(nowMs - sinceMs, look.everyMs), look.longestMs);
  const patience: Patience = { ...waits, sinceMs, dueMs: nowMs + waitMs };
  stores.syncPairs.put(mapId, { ...rest, patience });
  stores.pendingPairs.put(timerKey(patience.dueMs, mapId), patience);
}

function send(
  { forward }: Pick<Context, 'forward'>,
  mapId: string,
  { commands, conflicts, mapping, strays }: Advance,
  { timestampMs, headers }: { readonly timestampMs: number; readonly headers: readonly Header[] },
): void {
  const hop = [...headers.filter(({ key }) => key !== hopHeader), { key: hopHeader, value: Buffer.from('1') }];
  const tell = (key: string, value: PairOutput): void => forward({ key, value, timestampMs, headers });
  for (const command of commands)
    forward({ key: mapId, value: { kind: 'command', command }, timestampMs, headers: hop });
  for (const conflict of conflicts) tell(mapId, { kind: 'conflict', conflict });
  if (mapping !== undefined) tell(mapId, { kind: 'mapping', mapping });
  // A copy of a row, with our mark in it: a row of its own.
  for (const image of strays) tell(formatRef(image), { kind: 'signal', signal: { kind: 'image', image } });
}

/** Tries again what waits; who has waited for too long is told so, and answers for it by a record of its own. */
function lookAtPending(context: Context, nowMs: number): void {
  const { stores, forward } = context;
  for (const [key] of stores.pendingPairs.range({ to: timerKey(nowMs, ''), limit: look.pairsMax })) {
    const mapId = key.slice(17);
    const pair = stores.syncPairs.get(mapId);
    const since = pair?.patience?.sinceMs;
    if (pair === undefined || since === undefined || nowMs - since > patienceMs) {
      stores.pendingPairs.delete(key);
      forward({ key: mapId, value: { kind: 'signal', signal: { kind: 'expired' } }, timestampMs: nowMs, headers: [] });
      continue;
    }
    const advance = wake(pair, mappingsOf(context));
    keep(context, pair, advance, false);
    send(context, mapId, advance, { timestampMs: nowMs, headers: [] });
  }
}
