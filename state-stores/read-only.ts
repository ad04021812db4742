import { StreamError } from '../errors.ts';
import type { OrderedState } from './typed-store.ts';

/** The state of a store, without what changes it: those methods throw `PROCESSING_FAILED`. */
export function readOnly(store: string, state: unknown): unknown {
  const refuse = (): never => {
    throw new StreamError('PROCESSING_FAILED', `store ${store} is global: only what reads its topic may change it`, {
      facts: { store },
    });
  };
  // What a kind of store does not have is not called either.
  const reads = state as Pick<OrderedState<unknown, unknown>, 'get' | 'range' | 'prefix'>;
  return Object.freeze({
    get: (key: unknown) => reads.get(key),
    range: (range: Parameters<typeof reads.range>[0]) => reads.range(range),
    prefix: (...args: Parameters<typeof reads.prefix>) => reads.prefix(...args),
    put: refuse,
    delete: refuse,
    putIfAbsent: refuse,
  });
}
