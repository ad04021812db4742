/** Steps without memory: what they forward depends on the record alone. */
import { StreamError } from '../errors.ts';
import type { AnyRecord, CreateNode } from './node.ts';
import { expectNoPromise, expectResult, expectVerdict, type UserFunction } from './user-function.ts';

type OfRecord<R> = UserFunction<[value: unknown, key: unknown], R>;
type Pair = readonly [key: unknown, value: unknown];

/** Forwards a record if `predicate` says `kept`. */
export function filter(step: string, predicate: OfRecord<boolean>, kept: boolean): CreateNode {
  return (context) => ({
    process: (record) => {
      if (expectVerdict(step, predicate(record.value, record.key)) === kept) context.forward(record);
    },
  });
}

export function map(step: string, mapper: OfRecord<Pair>): CreateNode {
  return (context) => ({
    process: (record) => {
      context.forward(fromPair(step, record, mapper(record.value, record.key)));
    },
  });
}

export function mapValues(step: string, mapper: OfRecord<unknown>): CreateNode {
  return (context) => ({
    process: (record) => {
      context.forward(withValue(record, expectResult(step, mapper(record.value, record.key))));
    },
  });
}

/** Forwards each pair as soon as it is taken: what follows has seen one before the next is asked for. */
export function flatMap(step: string, mapper: OfRecord<Iterable<Pair>>): CreateNode {
  return (context) => ({
    process: (record) => {
      for (const pair of expectIterable(step, mapper(record.value, record.key)))
        context.forward(fromPair(step, record, pair));
    },
  });
}

/** As `flatMap`, the key unchanged. */
export function flatMapValues(step: string, mapper: OfRecord<Iterable<unknown>>): CreateNode {
  return (context) => ({
    process: (record) => {
      for (const value of expectIterable(step, mapper(record.value, record.key)))
        context.forward(withValue(record, expectResult(step, value)));
    },
  });
}

export function selectKey(step: string, selector: OfRecord<unknown>): CreateNode {
  return (context) => ({
    process: (record) => {
      const key = expectResult(step, selector(record.value, record.key));
      context.forward({ key, value: record.value, timestampMs: record.timestampMs, headers: record.headers });
    },
  });
}

/** Calls `look` and forwards the record as it is. */
export function peek(step: string, look: OfRecord<unknown>): CreateNode {
  return (context) => ({
    process: (record) => {
      expectNoPromise(step, look(record.value, record.key));
      context.forward(record);
    },
  });
}

/** Calls `visit`; nothing follows. */
export function foreach(step: string, visit: OfRecord<unknown>): CreateNode {
  return () => ({
    process: (record) => {
      expectNoPromise(step, visit(record.value, record.key));
    },
  });
}

/** Forwards as it is: where streams merge, and the head of a branch. */
export function passThrough(): CreateNode {
  return (context) => ({
    process: (record) => {
      context.forward(record);
    },
  });
}

/** One branch: the node its records go to, and which records those are; without a predicate: all that are left. */
export interface Branch {
  readonly node: string;
  readonly predicate: OfRecord<boolean> | undefined;
}

/** Sends a record to the first branch that wants it, or drops it. */
export function branch(step: string, branches: readonly Branch[]): CreateNode {
  return (context) => ({
    process: (record) => {
      for (const { node, predicate } of branches) {
        if (predicate !== undefined && !expectVerdict(step, predicate(record.value, record.key))) continue;
        context.forwardTo(node, record);
        return;
      }
      context.drop('no-branch');
    },
  });
}

/** Keeps records without a key out of a repartition topic. */
export function requireKey(): CreateNode {
  return (context) => ({
    process: (record) => {
      if (record.key === null) context.drop('unkeyed');
      else context.forward(record);
    },
  });
}

function withValue(record: AnyRecord, value: unknown): AnyRecord {
  return { key: record.key, value, timestampMs: record.timestampMs, headers: record.headers };
}

/** The record of a key and a value; `pair` is what an author's function returned. */
export function fromPair(step: string, record: AnyRecord, pair: unknown): AnyRecord {
  const made = expectResult(step, pair);
  if (!Array.isArray(made))
    throw new StreamError('PROCESSING_FAILED', `step ${step} returned something else than a pair [key, value]`, {
      facts: { step },
    });
  const key: unknown = expectResult(step, made[0]);
  const value: unknown = expectResult(step, made[1]);
  return { key, value, timestampMs: record.timestampMs, headers: record.headers };
}

function expectIterable<T>(step: string, result: Iterable<T>): Iterable<T> {
  const list: unknown = expectResult(step, result);
  if (!Array.isArray(list) && (typeof list !== 'object' || list === null || !(Symbol.iterator in list)))
    throw new StreamError('PROCESSING_FAILED', `step ${step} returned something else than a list`, { facts: { step } });
  return result;
}
