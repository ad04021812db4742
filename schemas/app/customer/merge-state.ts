import { canonicalJsonSerde, type Serde } from '../../../index.ts';
import { parseContribution, parseRetraction, type Contribution, type Retraction } from './contribution.ts';
import { parseDuplicates, parseFieldConflicts, type DuplicateRefs, type FieldConflicts } from './merged.ts';
import { parseStewardOverride, type StewardOverrides } from './override.ts';
import { readObject } from './reader.ts';

/** Everything that is known of one e-mail: the state of `merge`. Maps are by reference. */
export interface MergeState {
  readonly email: string;
  /** Accepted changes so far: puts, retractions and lists of overrides. */
  readonly version: number;
  readonly contributions: Readonly<Record<string, Contribution>>;
  /** What last took a record away that contributes no more; blocks late changes. */
  readonly graves: Readonly<Record<string, Retraction>>;
  /** Accepted decisions, in order. */
  readonly overrides: StewardOverrides;
  /** Decisions still listed that expected another version. */
  readonly refusedOverrides: StewardOverrides;
  /** Microseconds: the latest decision ever accepted, 0 if none. */
  readonly overridesAt: number;
  /** As last reported. */
  readonly conflicts: FieldConflicts;
  readonly duplicates: DuplicateRefs;
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseMergeState(value: unknown): MergeState {
  const reader = readObject(value, 'merge state');
  return {
    email: reader.text('email', 254),
    version: reader.count('version'),
    contributions: reader.map('contributions', parseContribution),
    graves: reader.map('graves', parseRetraction),
    overrides: reader.list('overrides', parseStewardOverride),
    refusedOverrides: reader.list('refusedOverrides', parseStewardOverride),
    overridesAt: reader.count('overridesAt'),
    conflicts: reader.object('conflicts', parseFieldConflicts),
    duplicates: reader.object('duplicates', parseDuplicates),
  };
}

export const mergeStateSerde: Serde<MergeState> = canonicalJsonSerde(parseMergeState);
