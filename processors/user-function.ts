/** What an author's function may look like to the engine, and what it may not return. */
import { StreamError } from '../errors.ts';

/**
 * A function of the author. Its types are checked where it is declared; inside the graph keys and values are `unknown`, and declared as a
 * method its parameters may be narrower.
 */
export type UserFunction<A extends readonly unknown[], R> = { call(...args: A): R }['call'];

/** `result`, unless it is what a mistake looks like: a promise (steps are synchronous) or `undefined` (absence is `null`). */
export function expectResult<T>(step: string, result: T): T {
  if (typeof result !== 'object') {
    if (result === undefined) throw noResult(step);
  } else if (isPromise(result)) throw promised(step);
  return result;
}

/** The verdict of a predicate. */
export function expectVerdict(step: string, result: unknown): boolean {
  if (typeof result === 'boolean') return result;
  if (isPromise(result)) throw promised(step);
  return Boolean(result);
}

/** For functions without a result: anything may be returned but a promise. */
export function expectNoPromise(step: string, result: unknown): void {
  if (isPromise(result)) throw promised(step);
}

function isPromise(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

function promised(step: string): StreamError {
  return new StreamError(
    'PROCESSING_FAILED',
    `step ${step} returned a promise: a step is synchronous; what must wait belongs into a connector`,
    { facts: { step } },
  );
}

function noResult(step: string): StreamError {
  return new StreamError('PROCESSING_FAILED', `step ${step} returned undefined: return null for no value`, {
    facts: { step },
  });
}
