/** What a sink is told of a table: which topic it shows, how to read its records, and what to do with them. */
import type { Statement } from './database.ts';

export interface SinkRecord {
  readonly key: Uint8Array | undefined;
  readonly value: Uint8Array | undefined;
  readonly offset: number;
  readonly timestampMs: number;
}

/** `R`: a record as the table understands it. */
export interface SinkTable<R = unknown> {
  readonly topic: string;
  /** Gets what `decode` needs to read these values. Rejects with a `StreamError` if that cannot be had now: the sink waits. */
  prepare?(values: readonly Uint8Array[]): Promise<void>;
  /** `undefined`: nothing of it is shown. Throws for a record that makes no sense. */
  decode(record: SinkRecord): R | undefined;
  /**
   * The statements that make the table show these records of one partition, in their order; run in one transaction. Running them again, or those of
   * an earlier slice, must not bring back what is older.
   */
  statements(records: readonly R[]): readonly Statement[];
}

/** Hides what a table makes of its records, so that tables of several kinds go into one list. */
export function sinkTable<R>(table: SinkTable<R>): SinkTable {
  return {
    topic: table.topic,
    prepare: async (values) => table.prepare?.(values),
    decode: (record) => table.decode(record),
    // Only ever given what `decode` returned.
    statements: (records) => table.statements(records as readonly R[]),
  };
}
