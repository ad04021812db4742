/** Processors that cannot change the key: what follows them is partitioned as before. */
import { StreamError } from '../errors.ts';
import type { Header, StreamRecord } from '../schemas/record.ts';
import type { ProcessorContext, ProcessorDefinition, StoreSpecs } from './processor.ts';

/** What is forwarded under the key of the record being processed; what is absent is as in that record. */
export interface FixedKeyOutput<V> {
  readonly value: V;
  readonly timestampMs?: number;
  readonly headers?: readonly Header[];
}

export interface FixedKeyContext<VOut, S extends StoreSpecs> extends Omit<ProcessorContext<never, VOut, S>, 'forward'> {
  /** To all following steps, or to the one named `to`. Only while a record is processed: a punctuator has no key to keep. */
  readonly forward: (output: FixedKeyOutput<VOut>, to?: string) => void;
}

/** As `ProcessorDefinition`; its records keep their key. */
export interface FixedKeyDefinition<K, VIn, VOut, S extends StoreSpecs> {
  readonly name: string;
  readonly stores?: S;
  init?(context: FixedKeyContext<VOut, S>): void;
  process(record: StreamRecord<K, VIn>, context: FixedKeyContext<VOut, S>): void;
  close?(context: FixedKeyContext<VOut, S>): void;
}

/** Declares a processor that keeps the key; types are inferred from `process` and `stores`. */
export function defineFixedKeyProcessor<K, VIn, VOut, S extends StoreSpecs = Readonly<Record<string, never>>>(
  definition: FixedKeyDefinition<K, VIn, VOut, S>,
): FixedKeyDefinition<K, VIn, VOut, S> {
  return Object.freeze({ ...definition });
}

/** The same as a processor that may change the key, and does not. One instance is made for each task. */
export function keepingKey<K, VIn, VOut, S extends StoreSpecs>(
  definition: FixedKeyDefinition<K, VIn, VOut, S>,
): () => ProcessorDefinition<K, VIn, K, VOut, S> {
  return () => {
    let current: StreamRecord<K, VIn> | undefined;
    let scope: FixedKeyContext<VOut, S> | undefined;
    const scopeOf = (context: ProcessorContext<K, VOut, S>): FixedKeyContext<VOut, S> => {
      scope ??= fixed(definition.name, context, () => current);
      return scope;
    };
    return {
      name: definition.name,
      ...(definition.stores === undefined ? {} : { stores: definition.stores }),
      init: (context) => definition.init?.(scopeOf(context)),
      process: (record, context) => {
        current = record;
        try {
          definition.process(record, scopeOf(context));
        } finally {
          current = undefined;
        }
      },
      close: (context) => definition.close?.(scopeOf(context)),
    };
  };
}

function fixed<K, VIn, VOut, S extends StoreSpecs>(
  step: string,
  context: ProcessorContext<K, VOut, S>,
  current: () => StreamRecord<K, VIn> | undefined,
): FixedKeyContext<VOut, S> {
  return {
    stores: context.stores,
    taskId: context.taskId,
    applicationId: context.applicationId,
    drop: context.drop,
    schedule: context.schedule,
    requestCommit: context.requestCommit,
    get metadata() {
      return context.metadata;
    },
    get streamTimeMs() {
      return context.streamTimeMs;
    },
    get wallClockMs() {
      return context.wallClockMs;
    },
    forward: (output, to) => {
      const record = current();
      if (record === undefined)
        throw new StreamError(
          'PROCESSING_FAILED',
          `step ${step} forwarded outside of process: there is no key to keep`,
        );
      const { value, timestampMs = record.timestampMs, headers = record.headers } = output;
      context.forward({ key: record.key, value, timestampMs, headers }, to);
    },
  };
}
