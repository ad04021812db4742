import type { AnyTable, Kit } from '../kit.ts';
import { watchedStore } from '../kit.ts';
import { anySerde } from '../serdes.ts';
import type { Kinds } from './kinds.ts';
import { storeFor, tableOf } from './tables.ts';

export const joins: Kinds = {
  'stream-table-inner': (kit) => {
    kit.out('out', kit.stream('left', kit.params.leftOps).join('joined', rightTable(kit), kit.functions.get('joiner')));
  },
  'stream-table-left': (kit) => {
    const joiner = kit.functions.get('joiner');
    kit.out('out', kit.stream('left', kit.params.leftOps).leftJoin('joined', rightTable(kit), joiner));
  },
  'stream-table-inner-grace': (kit) => {
    const { leftOps, joinedGraceMs: graceMs = 0 } = kit.params;
    const joiner = kit.functions.get('joiner');
    kit.out('out', kit.stream('left', leftOps).join('joined', rightTable(kit), joiner, { graceMs }));
  },
  'stream-table-left-grace': (kit) => {
    const { leftOps, joinedGraceMs: graceMs = 0 } = kit.params;
    const joiner = kit.functions.get('joiner');
    kit.out('out', kit.stream('left', leftOps).leftJoin('joined', rightTable(kit), joiner, { graceMs }));
  },
  'table-table-inner': (kit) => {
    tableTable(kit, 'inner');
  },
  'table-table-left': (kit) => {
    tableTable(kit, 'left');
  },
  'table-table-outer': (kit) => {
    tableTable(kit, 'outer');
  },
  'table-table-multi': (kit) => {
    const [first = 'inner', second = 'inner'] = kit.params.joins ?? [];
    const right = tableOf(kit, 'right', kit.params.right);
    const once = joinTables(kit, first, { name: 'once', left: tableOf(kit, 'left', kit.params.left), right });
    const twice = joinTables(kit, second, { name: 'twice', left: once, right });
    kit.out('out', twice.materialize(watchedStore, { valueSerde: anySerde }).toStream());
  },
  'repartition-null-key': (kit) => {
    kit.out('out', kit.stream('left', kit.params.leftOps));
  },
};

/** The right side of a stream-table join: a topic's table, or a stream made one. */
function rightTable(kit: Kit): AnyTable {
  const { rightOps = [], table } = kit.params;
  if (rightOps.length === 0) return tableOf(kit, 'right', table);
  return kit.stream('right', rightOps).toTable(storeFor(kit, 'right', { kind: table, name: 'right' }) ?? 'right');
}

function tableTable(kit: Kit, join: 'inner' | 'left' | 'outer'): void {
  const { left, right, materialized } = kit.params;
  const joined = joinTables(kit, join, {
    name: 'joined',
    left: tableOf(kit, 'left', left),
    right: tableOf(kit, 'right', right),
  });
  const kept = materialized === true ? joined.materialize(watchedStore, { valueSerde: anySerde }) : joined;
  kit.watch('out', kept);
}

export function joinTables(
  kit: Kit,
  join: 'inner' | 'left' | 'outer',
  { name, left, right }: { readonly name: string; readonly left: AnyTable; readonly right: AnyTable },
): AnyTable {
  const joiner = kit.functions.get('joiner');
  if (join === 'inner') return left.join(name, right, joiner);
  return join === 'left' ? left.leftJoin(name, right, joiner) : left.outerJoin(name, right, joiner);
}
