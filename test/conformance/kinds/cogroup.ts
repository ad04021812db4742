import type { CogroupedKStream } from '../../../index.ts';
import type { AnyTable, Kit } from '../kit.ts';
import { watchedStore } from '../kit.ts';
import { anySerde } from '../serdes.ts';
import type { Kinds } from './kinds.ts';
import { sessionsOf, storeOf, timeWindowsOf } from './windows.ts';

export const cogroups: Kinds = {
  cogroup: (kit) => {
    const [first, ...others] = kit.functions.aggregators();
    if (first === undefined) throw new Error('a cogroup has streams');
    let groups: CogroupedKStream<unknown, unknown> = kit.stream(first[0]).groupByKey().cogroup(adding(first[1]));
    for (const [topic, aggregator] of others)
      groups = groups.cogroup(kit.stream(topic).groupByKey(), adding(aggregator));
    kit.watch('out', aggregated(kit, groups) as AnyTable);
  },
};

type Aggregator = (key: unknown, value: unknown, aggregate: unknown) => unknown;

function adding(aggregator: Aggregator): (aggregate: unknown, value: unknown, key: unknown) => unknown {
  return (aggregate, value, key) => aggregator(key, value, aggregate);
}

function aggregated(kit: Kit, groups: CogroupedKStream<unknown, unknown>): unknown {
  const how = { initial: kit.functions.get('initializer'), valueSerde: anySerde };
  if (kit.params.windows === undefined) return groups.aggregate(watchedStore, how);
  const store = storeOf(kit, watchedStore);
  if (kit.params.windows !== 'session') return groups.windowedBy(timeWindowsOf(kit)).aggregate(store, how);
  const merger = kit.functions.get('merger');
  return groups.windowedBy(sessionsOf(kit)).aggregate(store, { ...how, merge: (a, b, key) => merger(key, a, b) });
}
