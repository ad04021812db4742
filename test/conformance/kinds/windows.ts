import {
  hoppingWindows,
  sessionWindows,
  slidingWindows,
  tumblingWindows,
  type EmitStrategy,
  type KGroupedStream,
  type SessionWindowedKStream,
  type SessionWindows,
  type SlidingWindows,
  type TimeWindows,
  type TimeWindowedKStream,
} from '../../../index.ts';
import type { AnyTable, Kit } from '../kit.ts';
import { watchedStore } from '../kit.ts';
import { anySerde } from '../serdes.ts';
import type { Kinds } from './kinds.ts';
import { joinTables } from './joins.ts';

const windowKinds = ['tumbling', 'hopping', 'sliding', 'session'] as const;

export const windows: Kinds = {
  ...Object.fromEntries(
    windowKinds.flatMap((kind) => [
      [`window-${kind}`, watched],
      [`window-${kind}-late`, watched],
      [`window-${kind}-store`, watched],
      [`window-${kind}+table-table-join`, joined],
    ]),
  ),
  'window-emit-final': watched,
};

function watched(kit: Kit): void {
  kit.watch('out', windowedTable(kit, kit.onlyTopic.name, watchedStore));
}

/** Two windowed tables, and their join by windowed key. */
function joined(kit: Kit): void {
  const [first = 'topic1', second = 'topic2'] = kit.params.topics ?? [];
  const left = windowedTable(kit, first, 'left-windows');
  const right = windowedTable(kit, second, 'right-windows');
  kit.watch('out', left);
  kit.watch('out1', right);
  kit.watch('out2', joinTables(kit, 'inner', { name: 'joined', left, right }));
}

type Groups = KGroupedStream<unknown, unknown>;

/** The windowed aggregation that the case names, of one topic. */
export function windowedTable(kit: Kit, topic: string, store: string): AnyTable {
  const groups: Groups = kit.stream(topic).groupByKey();
  const storeOptions = storeOf(kit, store);
  // A windowed key is a key like any other to the steps after it.
  const isSession = kit.params.windows === 'session';
  return (isSession ? sessionTable(kit, groups, storeOptions) : timeTable(kit, groups, storeOptions)) as AnyTable;
}

interface StoreOptions {
  readonly name: string;
  readonly retentionMs?: number;
}

/** A store of windows with the retention that the case names. */
export function storeOf({ params: { retentionMs } }: Kit, name: string): StoreOptions {
  return { name, ...(retentionMs === undefined ? {} : { retentionMs }) };
}

function timeTable(kit: Kit, groups: Groups, store: StoreOptions): unknown {
  const { functions } = kit;
  const windowed: TimeWindowedKStream<unknown, unknown> = groups
    .windowedBy(timeWindowsOf(kit))
    .emitStrategy(emitOf(kit), { everyMs: kit.params.emitIntervalMs ?? 0 });
  if (functions.isCount) return windowed.count(store);
  if (functions.has('reducer')) return windowed.reduce(store, functions.get('reducer'));
  return windowed.aggregate(store, aggregation(kit));
}

function sessionTable(kit: Kit, groups: Groups, store: StoreOptions): unknown {
  const { functions } = kit;
  const windowed: SessionWindowedKStream<unknown, unknown> = groups
    .windowedBy(sessionsOf(kit))
    .emitStrategy(emitOf(kit), { everyMs: kit.params.emitIntervalMs ?? 0 });
  if (functions.isCount) return windowed.count(store);
  if (functions.has('reducer')) return windowed.reduce(store, functions.get('reducer'));
  const merger = functions.get('merger');
  return windowed.aggregate(store, { ...aggregation(kit), merge: (a, b, key) => merger(key, a, b) });
}

export function sessionsOf({ params: { gapMs = 0, graceMs = 0 } }: Kit): SessionWindows {
  return sessionWindows({ gapMs, graceMs });
}

/** The windows of a case that has no sessions. */
export function timeWindowsOf({ params }: Kit): TimeWindows | SlidingWindows {
  const { windows: kind, sizeMs = 1, advanceMs = sizeMs, timeDifferenceMs = 0, graceMs = 0 } = params;
  if (kind === 'sliding') return slidingWindows({ differenceMs: timeDifferenceMs, graceMs });
  return kind === 'hopping' ? hoppingWindows({ sizeMs, advanceMs, graceMs }) : tumblingWindows({ sizeMs, graceMs });
}

function emitOf({ params }: Kit): EmitStrategy {
  return params.emit === 'close' ? 'on-close' : 'on-update';
}

function aggregation(kit: Kit): {
  readonly initial: () => unknown;
  readonly add: (aggregate: unknown, value: unknown, key: unknown) => unknown;
  readonly valueSerde: typeof anySerde;
} {
  const aggregator = kit.functions.get('aggregator');
  return {
    initial: kit.functions.get('initializer'),
    add: (aggregate, value, key) => aggregator(key, value, aggregate),
    valueSerde: anySerde,
  };
}
