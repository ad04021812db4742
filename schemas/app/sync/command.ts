/** What one side is told to do, and what became of it. */
import { canonicalJsonSerde } from '../../../index.ts';
import { compact, readMap, readObject, readText } from '../reader.ts';
import { entityNames, rowIdLengthMax, sides, type EntityName, type Side } from './entities.ts';
import type { Value, Values } from './values.ts';

export const syncOperations = ['insert', 'update', 'delete'] as const;

/** The value of `sync.commands`, keyed by pair. */
export interface SyncCommand {
  /** The same for every attempt: what the inbox of the database remembers. A UUID. */
  readonly eventId: string;
  readonly mapId: string;
  readonly entity: EntityName;
  /** Where it is to be done. */
  readonly side: Side;
  readonly operation: (typeof syncOperations)[number];
  /** The row becomes this version; one that is not older is left alone. */
  readonly version: number;
  /** Of the row; an insertion may not know it: the database gives it one. */
  readonly id?: string;
  /** Of the row on the other side; an insertion knows it. */
  readonly otherId?: string;
  /** What is to be written, by field; references are ids of this side. */
  readonly values: Values;
}

export const syncOutcomes = ['written', 'missing', 'stale', 'refused'] as const;

/** The value of `sync.results`, keyed by pair. */
export interface SyncResult {
  readonly eventId: string;
  readonly mapId: string;
  readonly side: Side;
  /** `missing`: there is no such row; `stale`: the row has that version already, or a later one. */
  readonly outcome: (typeof syncOutcomes)[number];
  /** Of the row. */
  readonly id?: string;
  /** The row's, if it is stale. */
  readonly version?: number;
  /** Of a refusal. */
  readonly sqlState?: string;
}

function readValue(value: unknown, where: string): Value {
  return value === null ? null : readText(value, where, valueLengthMax);
}

/** Longest value of a column that is kept in sync, in UTF-16 code units. */
export const valueLengthMax = 1_000_000;

export const readValues = (value: unknown, where: string): Values => readMap(value, where, readValue);

/** Throws `DESERIALIZATION_FAILED`. */
export function parseSyncCommand(value: unknown): SyncCommand {
  const reader = readObject(value, 'sync command');
  const operation = reader.oneOf('operation', syncOperations);
  const row = (name: string, isKnown: boolean): string | undefined =>
    isKnown ? reader.text(name, rowIdLengthMax) : reader.optionalText(name, rowIdLengthMax);
  return compact({
    eventId: reader.text('eventId', 36),
    mapId: reader.text('mapId'),
    entity: reader.oneOf('entity', entityNames),
    side: reader.oneOf('side', sides),
    operation,
    version: reader.count('version'),
    id: row('id', operation !== 'insert'),
    otherId: row('otherId', operation === 'insert'),
    values: reader.with('values', readValues),
  });
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseSyncResult(value: unknown): SyncResult {
  const reader = readObject(value, 'sync result');
  return compact({
    eventId: reader.text('eventId', 36),
    mapId: reader.text('mapId'),
    side: reader.oneOf('side', sides),
    outcome: reader.oneOf('outcome', syncOutcomes),
    id: reader.optionalText('id', rowIdLengthMax),
    version: reader.optionalCount('version'),
    sqlState: reader.optionalText('sqlState', 5),
  });
}

export const syncCommandSerde = canonicalJsonSerde(parseSyncCommand);
export const syncResultSerde = canonicalJsonSerde(parseSyncResult);
