/** Which rows belong together, and what was said of them at the same time. */
import { canonicalJsonSerde } from '../../../index.ts';
import { compact, readObject } from '../reader.ts';
import { entityNames, rowIdLengthMax, sides, type EntityName, type Side } from './entities.ts';
import { valueLengthMax } from './command.ts';

/** The value of `sync.mappings`, keyed by pair: written once, when both ids are known. */
export interface EntityMapping {
  readonly mapId: string;
  readonly entity: EntityName;
  readonly legacyId: string;
  readonly revampId: string;
}

/** What one side said of a field. */
export interface Claim {
  readonly side: Side;
  /** Absent: nothing. */
  readonly value?: string;
  /** Microseconds. */
  readonly clock: number;
}

export const syncConflictKinds = ['field', 'deletion'] as const;

/** The value of `sync.conflicts`, keyed by pair: two changes that did not know of each other. What was lost is here. */
export interface SyncConflict {
  readonly mapId: string;
  readonly entity: EntityName;
  /** `deletion`: the row was deleted on one side while the field was changed on the other. */
  readonly kind: (typeof syncConflictKinds)[number];
  readonly field: string;
  readonly winner: Claim;
  readonly loser: Claim;
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseEntityMapping(value: unknown): EntityMapping {
  const reader = readObject(value, 'entity mapping');
  return {
    mapId: reader.text('mapId'),
    entity: reader.oneOf('entity', entityNames),
    legacyId: reader.text('legacyId', rowIdLengthMax),
    revampId: reader.text('revampId', rowIdLengthMax),
  };
}

function parseClaim(value: unknown, where: string): Claim {
  const reader = readObject(value, where);
  return compact({
    side: reader.oneOf('side', sides),
    value: reader.optionalText('value', valueLengthMax),
    clock: reader.count('clock'),
  });
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseSyncConflict(value: unknown): SyncConflict {
  const reader = readObject(value, 'sync conflict');
  return {
    mapId: reader.text('mapId'),
    entity: reader.oneOf('entity', entityNames),
    kind: reader.oneOf('kind', syncConflictKinds),
    field: reader.text('field'),
    winner: reader.with('winner', parseClaim),
    loser: reader.with('loser', parseClaim),
  };
}

export const entityMappingSerde = canonicalJsonSerde(parseEntityMapping);
export const syncConflictSerde = canonicalJsonSerde(parseSyncConflict);
