import type { AnyTable, Kit } from '../kit.ts';
import { watchedStore } from '../kit.ts';
import { anySerde } from '../serdes.ts';
import type { Kinds } from './kinds.ts';
import { tableOf } from './tables.ts';

const serdes = { valueSerde: anySerde };

export const foreignKeys: Kinds = {
  'fk-inner': (kit) => {
    foreignKey(kit, false);
  },
  'fk-left': (kit) => {
    foreignKey(kit, true);
  },
  'fk-inner-chained': (kit) => {
    const left = tableOf(kit, 'left', kit.params.left);
    const right = tableOf(kit, 'right', kit.params.right);
    const joiner = kit.functions.get('joiner');
    const joined = left.foreignKeyJoin('joined', right, { foreignKey: extractor(kit), joiner, ...serdes });
    kit.out('out', left.join('again', joined, joiner).toStream());
  },
  'fk-inner-multi': (kit) => {
    const [first, second, third] = ['table1', 'table2', 'table3'].map((name) => tableOf(kit, name, undefined));
    if (first === undefined || second === undefined || third === undefined) throw new Error('three tables');
    const once = first
      .foreignKeyJoin('once', second, {
        foreignKey: extractor(kit, 'foreignKeyExtractor1'),
        joiner: kit.functions.get('joiner1'),
      })
      .materialize('once-store', serdes);
    const twice = once.foreignKeyJoin('twice', third, {
      foreignKey: extractor(kit, 'foreignKeyExtractor2'),
      joiner: kit.functions.get('joiner2'),
    });
    kit.out('out', twice.toStream());
  },
};

function foreignKey(kit: Kit, isLeft: boolean): void {
  const left = tableOf(kit, 'left', kit.params.left);
  const right = tableOf(kit, 'right', kit.params.right);
  const how = { foreignKey: extractor(kit), joiner: kit.functions.get('joiner') };
  const joined: AnyTable = isLeft
    ? left.foreignKeyLeftJoin('joined', right, how)
    : left.foreignKeyJoin('joined', right, how);
  const kept = joined.materialize(watchedStore, serdes);
  kit.out('out', kept.toStream());
  if (kit.functions.has('rejoiner'))
    kit.out('rejoin', kept.join('rejoined', left, kit.functions.get('rejoiner')).toStream());
}

function extractor(kit: Kit, name = 'foreignKeyExtractor'): (value: unknown, key: unknown) => unknown {
  const extract = kit.functions.get(name);
  return (value, key) => extract(key, value);
}
