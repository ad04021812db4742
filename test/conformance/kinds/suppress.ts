import { untilTimeLimit, untilWindowCloses, type KTable, type TimeLimit, type Windowed } from '../../../index.ts';
import type { AnyTable, Kit } from '../kit.ts';
import { watchedStore } from '../kit.ts';
import { anySerde } from '../serdes.ts';
import { joinTables } from './joins.ts';
import type { Kinds } from './kinds.ts';
import { tableOf } from './tables.ts';
import { windowedTable } from './windows.ts';

const windowKinds = ['tumbling', 'hopping', 'sliding', 'session'] as const;

export const suppressions: Kinds = {
  ...Object.fromEntries(windowKinds.map((kind) => [`suppress-final-${kind}`, finalResults])),
  'suppress-time-limit': limited,
  'suppress-record-limit': limited,
  'suppress-bytes-limit': limited,
  'suppress-before-groupBy': (kit) => {
    const table = held(kit, tableOf(kit, kit.onlyTopic.name, kit.params.table));
    kit.watch('out', counted(kit, table));
  },
  'suppress-before-join': (kit) => {
    const { suppressSide = 'right', join = 'inner' } = kit.params;
    const [left, right] = (['left', 'right'] as const).map((side) => {
      const table = tableOf(kit, side, kit.params[side]);
      return side === suppressSide ? held(kit, table) : table;
    });
    if (left === undefined || right === undefined) throw new Error('a join has two sides');
    kit.watch('out', joinTables(kit, join, { name: 'joined', left, right }));
  },
  'suppress-processor': (kit) => {
    const table = kit.tableOfChanges();
    kit.changes('out', kit.params.untilWindowCloses === true ? final(table) : held(kit, table));
  },
};

function finalResults(kit: Kit): void {
  const table = windowedTable(kit, kit.onlyTopic.name, watchedStore);
  kit.watch('raw', table);
  kit.watch('suppressed', final(table));
}

/** The final results of a windowed table. */
function final(table: AnyTable): AnyTable {
  // The keys are windowed, which `unknown` does not say.
  const windowed = table as unknown as KTable<Windowed<unknown>, unknown>;
  return windowed.suppress('suppressed', untilWindowCloses()) as unknown as AnyTable;
}

function limited(kit: Kit): void {
  const table = counted(kit, tableOf(kit, kit.onlyTopic.name, kit.params.table));
  kit.watch('raw', table);
  kit.watch('suppressed', held(kit, table));
}

function counted(kit: Kit, table: AnyTable): AnyTable {
  const groupBy = kit.functions.get('groupBy') as (key: unknown, value: unknown) => readonly [unknown, unknown];
  return table
    .groupBy('grouped', (value, key) => groupBy(key, value), { keySerde: kit.madeKey, valueSerde: anySerde })
    .count(watchedStore);
}

export function held(kit: Kit, table: AnyTable): AnyTable {
  return table.suppress('suppressed', timeLimit(kit));
}

/** Without a limit of time only the bounds of the buffer send changes on; a bound without more sends them early. */
function timeLimit({ params }: Kit): TimeLimit {
  const { untilTimeLimitMs = Infinity, maxRecords, maxBytes, whenFull } = params;
  const isUnbounded = maxRecords === undefined && maxBytes === undefined;
  return untilTimeLimit(untilTimeLimitMs, {
    ...(maxRecords === undefined ? {} : { recordsMax: maxRecords }),
    ...(maxBytes === undefined ? {} : { bytesMax: maxBytes }),
    whenFull: whenFull === 'shutDown' || isUnbounded ? 'shut-down' : 'emit-early',
  });
}
