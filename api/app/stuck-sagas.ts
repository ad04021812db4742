/** How many sagas are stuck, for `/metrics`. */
import { StreamError, type InstanceView, type MetricSample } from '../../index.ts';
import { stuckPrefix, stuckStateOf, type SagaTimer } from '../../schemas/app/billing/saga-timer.ts';
import type { TypedStore } from '../store-queries.ts';

type Timers = TypedStore<string, SagaTimer>;

/** Counted in each partition at one scrape. */
const countedMax = 1_000;

/** By the state in which they got stuck, in the partitions that run here. */
export async function stuckSagas(timers: Timers, instances: readonly InstanceView[]): Promise<readonly MetricSample[]> {
  const counts = new Map<string, number>();
  for (const view of instances)
    for await (const key of stuckKeys(timers, view)) {
      const state = stuckStateOf(key);
      counts.set(state, (counts.get(state) ?? 0) + 1);
    }
  return [...counts].map(([state, value]) => ({
    name: 'saga_stuck_total',
    help: 'Sagas that somebody has to look at, by the state in which they got stuck',
    type: 'gauge',
    labels: { state },
    value,
  }));
}

async function* stuckKeys(timers: Timers, view: InstanceView): AsyncIterable<string> {
  // Nothing lies behind them.
  const range = { from: timers.key.serialize(stuckPrefix), limit: countedMax };
  for (const { stores, inputs } of view.tasks()) {
    // Only tasks that are open here have inputs.
    const partition = inputs[0]?.partition;
    if (partition === undefined || !stores.includes(timers.name)) continue;
    try {
      for await (const [key] of view.localStore(timers.name, partition).scan(range)) yield timers.key.deserialize(key);
    } catch (error) {
      // The task has just gone elsewhere, where it is counted.
      if (!(error instanceof StreamError)) throw error;
    }
  }
}
