/** What a record of a changelog means for its store. */
import type { FetchedBatch } from '../../connectors/log.ts';
import { assert } from '../../errors.ts';
import type { RecordCursor } from '../../schemas/record-batch.ts';
import type { RestoredEntry } from '../../state-stores/store-layers.ts';
import { finalPolicy } from '../error-policy.ts';
import type { PlannedStore } from '../plan.ts';
import { decodeRecord } from './decode-record.ts';

/** Of a changelog that the store wrote itself. */
export function loggedEntry({ spec }: PlannedStore, cursor: RecordCursor): RestoredEntry {
  const key = cursor.key();
  assert(key !== undefined, `changelog of ${spec.name} holds a record without key`);
  const value = cursor.value();
  const { timestampMs } = cursor;
  return {
    key,
    value: value === undefined ? undefined : spec.format.fromChangelog(value, timestampMs),
    timestampMs,
  };
}

/**
 * Of the topic of a table: the bytes that the table would have stored, which need not be those of the record. `undefined` for what it would have
 * passed over; throws for what its error policy does not let pass.
 */
export function inputEntry(
  { spec, source }: PlannedStore,
  { topic, partition }: Pick<FetchedBatch, 'topic' | 'partition'>,
  cursor: RecordCursor,
): RestoredEntry | undefined {
  assert(source !== undefined, `store ${spec.name} is restored from an input`);
  try {
    // A time that depends on anything but the record is refused where the table is declared, or here: it is none.
    const record = decodeRecord({ source, topic, partition, partitionTimeMs: -1 }, cursor, Number.NaN);
    if (record === undefined || record.key === null) return undefined;
    const { timestampMs } = record;
    const value = record.value === null ? undefined : spec.value.serialize(record.value);
    return {
      key: spec.key.serialize(record.key),
      value: value === undefined ? undefined : spec.format.fromChangelog(value, timestampMs),
      timestampMs,
    };
  } catch (error) {
    if (source.onError !== undefined && finalPolicy(source.onError) === 'skip') return undefined;
    throw error;
  }
}
