/** The Processor API: a step written by hand, with state, timers and full control over what is forwarded. */
import type { Header, RecordMetadata, StreamRecord } from '../schemas/record.ts';
import type { AnyStoreSpec, StateOf } from '../state-stores/spec.ts';
import type { Cancellable, DropReason, Schedule } from './node.ts';

/** What is forwarded; absent headers mean: those of the record being processed (none in a punctuator). */
export interface OutputRecord<K, V> {
  readonly key: K;
  readonly value: V;
  readonly timestampMs: number;
  readonly headers?: readonly Header[];
}

export type StoreSpecs = Readonly<Record<string, AnyStoreSpec>>;

/** Of a processor that remembers nothing. */
export type NoStores = Readonly<Record<string, never>>;

/** The typed handles of the declared stores, under the names of the declaration. */
export type StoreStates<S extends StoreSpecs> = { readonly [N in keyof S]: StateOf<S[N]> };

/** What a processor works with. The functions may be taken out of the object. Valid until the task closes. */
export interface ProcessorContext<KOut, VOut, S extends StoreSpecs> {
  readonly stores: StoreStates<S>;
  /** Sends a record to all following steps, or to the one named `to`; they have run when this returns. */
  readonly forward: (record: OutputRecord<KOut, VOut>, to?: string) => void;
  /** Where the current input record came from; `undefined` in a punctuator. */
  readonly metadata: RecordMetadata | undefined;
  readonly streamTimeMs: number;
  /** Wall clock as of this slice; not reproducible in a replay. */
  readonly wallClockMs: number;
  readonly taskId: string;
  readonly applicationId: string;
  /** Counts the current record as dropped. */
  readonly drop: (reason: DropReason) => void;
  readonly schedule: (schedule: Schedule, run: (timestampMs: number) => void) => Cancellable;
  readonly requestCommit: () => void;
}

/**
 * A declared processor. `process` is synchronous, reads no clock but the record's, has no effect besides its stores and `forward`,
 * and may run again for the same record after a crash. A returned promise is an error.
 */
export interface ProcessorDefinition<KIn, VIn, KOut, VOut, S extends StoreSpecs> {
  readonly name: string;
  readonly stores?: S;
  /** Once per task, before its first record; the place to `schedule`. */
  init?(context: ProcessorContext<KOut, VOut, S>): void;
  process(record: StreamRecord<KIn, VIn>, context: ProcessorContext<KOut, VOut, S>): void;
  close?(context: ProcessorContext<KOut, VOut, S>): void;
}

/** Declares a processor; types are inferred from `process` and `stores`. */
export function defineProcessor<KIn, VIn, KOut, VOut, S extends StoreSpecs = NoStores>(
  definition: ProcessorDefinition<KIn, VIn, KOut, VOut, S>,
): ProcessorDefinition<KIn, VIn, KOut, VOut, S> {
  return Object.freeze({ ...definition });
}
