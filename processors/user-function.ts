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
    if (result === undefined) throw noResult(step, 'null for no value');
  } else expectNoPromise(step, result);
  return result;
}

/** The verdict of a predicate. */
export function expectVerdict(step: string, result: unknown): boolean {
  if (typeof result === 'boolean') return result;
  if (result === undefined) throw noResult(step, 'true or false');
  expectNoPromise(step, result);
  return Boolean(result);
}

/** For functions without a result: anything may be returned but a promise. */
export function expectNoPromise(step: string, result: unknown): void {
  if (typeof result !== 'object' || result === null || !('then' in result) || typeof result.then !== 'function') return;
  // What the promise has to say is lost with it; a rejection must not end the process.
  Promise.resolve(result).catch(() => undefined);
  throw new StreamError(
    'PROCESSING_FAILED',
    `step ${step} returned a promise: a step is synchronous; what must wait belongs into a connector`,
    { facts: { step } },
  );
}

function noResult(step: string, due: string): StreamError {
  return new StreamError('PROCESSING_FAILED', `step ${step} returned undefined: return ${due}`, { facts: { step } });
}
