import type { AnyTable, Kit } from '../kit.ts';
import { watchedStore } from '../kit.ts';
import { anySerde } from '../serdes.ts';
import { joinTables } from './joins.ts';
import type { Kinds } from './kinds.ts';
import { held } from './suppress.ts';
import { aggregatedStream, tableOf } from './tables.ts';
import { windowedTable } from './windows.ts';

/** Steps of tables, one after the other: what they do with each other's old values. */
export const chains: Kinds = {
  chain: (kit) => {
    const { steps = [] } = kit.params;
    let table = sourceOf(kit);
    for (const [index, step] of steps.entries()) table = stepOf(kit, table, { step, name: `step-${String(index)}` });
    kit.watch('out', table);
  },
};

function sourceOf(kit: Kit): AnyTable {
  switch (kit.params.source) {
    case 'table':
      return tableOf(kit, 'input', kit.params.table);
    case 'toTable':
      return kit.stream('input').toTable('rows');
    case 'windows':
      return windowedTable(kit, 'input', watchedStore);
    default:
      return aggregatedStream(kit, 'input');
  }
}

const serdes = { valueSerde: anySerde };

function stepOf(kit: Kit, table: AnyTable, { step, name }: { readonly step: string; readonly name: string }): AnyTable {
  const { functions } = kit;
  const [operator = '', kept] = step.split('-');
  const keep = (made: AnyTable): AnyTable => (kept === undefined ? made : made.materialize(`${name}-store`, serdes));
  switch (operator) {
    case 'filter': {
      const predicate = functions.get('predicate') as (key: unknown, value: unknown) => boolean;
      return keep(table.filter(name, (value, key) => predicate(key, value)));
    }
    case 'mapValues': {
      const mapper = functions.get('mapper');
      return keep(table.mapValues(name, (value, key) => mapper(key, value)));
    }
    case 'suppress':
      return held(kit, table);
    case 'toTable':
      return table.toStream().withSerdes(serdes).toTable(name);
    case 'groupBy':
      return regrouped(kit, table, name);
    default: {
      const right = tableOf(kit, 'right', undefined);
      const join = operator === 'join' ? 'inner' : operator === 'leftJoin' ? 'left' : 'outer';
      return keep(joinTables(kit, join, { name, left: table, right }));
    }
  }
}

function regrouped(kit: Kit, table: AnyTable, name: string): AnyTable {
  const { functions } = kit;
  const groupBy = functions.get('regroup') as (key: unknown, value: unknown) => readonly [unknown, unknown];
  const add = functions.get('adder');
  const subtract = functions.get('subtractor');
  return table
    .groupBy(`${name}-groups`, (value, key) => groupBy(key, value), { keySerde: kit.madeKey, valueSerde: anySerde })
    .aggregate(name, {
      initial: functions.get('again'),
      add: (aggregate, value, key) => add(key, value, aggregate),
      subtract: (aggregate, value, key) => subtract(key, value, aggregate),
      valueSerde: anySerde,
    });
}
