/** Waits for a row of a store to become what somebody waits for. */
import type { Clock } from '../../index.ts';
import type { QueryContext } from '../placement.ts';
import type { StoreQueries, TypedAnswer, TypedStore } from '../store-queries.ts';

/** Between two looks: doubled from the first on. */
const lookAgainMs = { first: 10, max: 160 } as const;

export interface AwaitedRow<K, V> {
  readonly queries: StoreQueries;
  readonly store: TypedStore<K, V>;
  readonly key: K;
  readonly clock: Clock;
  readonly context: QueryContext;
  readonly waitMs: number;
  readonly isOver: (value: V) => boolean;
}

/** The row once it is over, or as it is after `waitMs`. */
export async function awaitAnswer<K, V>(awaited: AwaitedRow<K, V>): Promise<TypedAnswer<V>> {
  const { queries, store, key, clock, context, waitMs, isOver } = awaited;
  const untilMs = clock.monotonicMs() + waitMs;
  for (let stepMs: number = lookAgainMs.first; ; stepMs = Math.min(2 * stepMs, lookAgainMs.max)) {
    const answer = await queries.get(store, key, context);
    const leftMs = untilMs - clock.monotonicMs();
    if ((answer.value !== undefined && isOver(answer.value)) || leftMs <= 0 || context.signal.aborted) return answer;
    await clock.sleep(Math.min(stepMs, leftMs), context.signal);
  }
}
