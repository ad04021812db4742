import { defineVersionedStore, type VersionedStoreSpec } from '../../../index.ts';
import type { AnyTable, Kit } from '../kit.ts';
import { watchedStore } from '../kit.ts';
import { anySerde } from '../serdes.ts';
import type { Kinds } from './kinds.ts';

export const tables: Kinds = {
  'ktable-aggregate': (kit) => {
    grouped(kit, tableOf(kit, kit.onlyTopic.name, kit.params.table));
  },
  'ktable-count': (kit) => {
    grouped(kit, tableOf(kit, kit.onlyTopic.name, kit.params.table));
  },
  'ktable-reduce': (kit) => {
    grouped(kit, tableOf(kit, kit.onlyTopic.name, kit.params.table));
  },
  'ktable-filter-aggregate': (kit) => {
    grouped(kit, filtered(kit, tableOf(kit, kit.onlyTopic.name, kit.params.table)));
  },
  'ktable-reduce-processor': (kit) => {
    const table = kit.tableOfChanges();
    const groups = table.groupBy('grouped', (value, key) => [key, value], {
      keySerde: kit.onlyTopic.key,
      valueSerde: anySerde,
    });
    const reduced = groups.reduce(watchedStore, {
      add: kit.functions.reducer('adder'),
      subtract: kit.functions.reducer('subtractor'),
    });
    kit.watch('out', reduced);
  },
  'ktable-source': (kit) => {
    kit.watch('out', tableOf(kit, kit.onlyTopic.name, kit.params.table));
  },
  'ktable-source-ooo': (kit) => {
    kit.watch('out', tableOf(kit, kit.onlyTopic.name, kit.params.table));
  },
  'ktable-source-store': watchedSource,
  'ktable-source-ooo-store': watchedSource,
  'ktable-filter': (kit) => {
    const table = tableOf(kit, kit.onlyTopic.name, kit.params.table);
    const predicate = kit.functions.get('predicate') as (value: unknown, key: unknown) => boolean;
    const byValue = (value: unknown, key: unknown): boolean => predicate(key, value);
    const kept = table.filter('filtered', byValue);
    const left = table.filterNot('filtered-not', byValue);
    const isKept = kit.params.materialized === true;
    // Of a table that is kept anyway, changes say what a row was even if nothing asks for it.
    const says = ['versioned', 'kept'].includes(kit.params.table ?? '') && kit.params.output === 'change';
    const watch = says ? kit.changes.bind(kit) : kit.watch.bind(kit);
    watch('filtered', isKept ? kept.materialize('filtered-store') : kept);
    watch('filteredNot', isKept ? left.materialize('filtered-not-store') : left);
  },
  'ktable-mapvalues': (kit) => {
    mapped(kit, tableOf(kit, kit.onlyTopic.name, kit.params.table));
  },
  'ktable-filter-mapvalues': (kit) => {
    mapped(kit, filtered(kit, tableOf(kit, kit.onlyTopic.name, kit.params.table)));
  },
  'to-table': (kit) => {
    const { ops, table } = kit.params;
    const store = storeFor(kit, kit.onlyTopic.name, { kind: table, name: watchedStore }) ?? watchedStore;
    kit.watch('out', kit.stream(kit.onlyTopic.name, ops).toTable(store));
  },
  'kstream-aggregate': (kit) => {
    kit.watch('out', aggregatedStream(kit, kit.onlyTopic.name));
  },
};

/** The aggregation of a topic's stream that the case names. */
export function aggregatedStream(kit: Kit, topic: string): AnyTable {
  const { functions } = kit;
  const stream = kit.stream(topic);
  const groupBy = functions.has('groupBy') ? functions.get('groupBy') : undefined;
  const groups =
    groupBy === undefined
      ? stream.groupByKey()
      : stream.groupBy('grouped', (value, key) => groupBy(key, value), { keySerde: kit.madeKey });
  if (functions.isCount) return groups.count(watchedStore);
  if (functions.has('reducer')) return groups.reduce(watchedStore, functions.get('reducer'));
  const aggregator = functions.get('aggregator');
  return groups.aggregate(watchedStore, {
    initial: functions.get('initializer'),
    add: (aggregate, value, key) => aggregator(key, value, aggregate),
    valueSerde: anySerde,
  });
}

/** A topic's table, in a store of the kind that the case names. */
export function tableOf(kit: Kit, topic: string, kind: string | undefined, store?: string): AnyTable {
  const kept = store ?? (kind === 'kept' ? `${topic}-store` : undefined);
  const declared = storeFor(kit, topic, { kind, name: store ?? `${topic}-store` }) ?? kept;
  return kit.t.table(kit.topic(topic), declared === undefined ? {} : { store: declared });
}

/** A versioned store, where the case names that kind. */
export function storeFor(
  kit: Kit,
  topic: string,
  { kind, name }: { readonly kind: string | undefined; readonly name: string },
): VersionedStoreSpec<unknown, unknown> | undefined {
  if (kind !== 'versioned') return undefined;
  const { key, value } = kit.topic(topic);
  return defineVersionedStore(name, { key, value, historyRetentionMs: kit.params.historyRetentionMs ?? 0 });
}

function watchedSource(kit: Kit): void {
  kit.watch('out', tableOf(kit, kit.onlyTopic.name, kit.params.table, watchedStore));
}

function filtered(kit: Kit, table: AnyTable): AnyTable {
  const predicate = kit.functions.get('predicate') as (key: unknown, value: unknown) => boolean;
  return table.filter('filtered', (value, key) => predicate(key, value));
}

function mapped(kit: Kit, table: AnyTable): void {
  const mapper = kit.functions.get('mapper');
  const result: AnyTable = table.mapValues('mapped', (value, key) => mapper(key, value));
  kit.watch(
    'out',
    kit.params.materialized === true ? result.materialize(watchedStore, { valueSerde: anySerde }) : result,
  );
}

function grouped(kit: Kit, table: AnyTable): void {
  const { functions } = kit;
  const groupBy = functions.get('groupBy') as (key: unknown, value: unknown) => readonly [unknown, unknown];
  const groups = table.groupBy('grouped', (value, key) => groupBy(key, value), {
    keySerde: kit.madeKey,
    valueSerde: anySerde,
  });
  if (functions.isCount) kit.watch('out', groups.count(watchedStore));
  else if (functions.has('initializer')) {
    const add = functions.get('adder');
    const subtract = functions.get('subtractor');
    kit.watch(
      'out',
      groups.aggregate(watchedStore, {
        initial: functions.get('initializer'),
        add: (aggregate, value, key) => add(key, value, aggregate),
        subtract: (aggregate, value, key) => subtract(key, value, aggregate),
        valueSerde: anySerde,
      }),
    );
  } else
    kit.watch(
      'out',
      groups.reduce(watchedStore, { add: functions.reducer('adder'), subtract: functions.reducer('subtractor') }),
    );
}
