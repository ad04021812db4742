import { canonicalJsonSerde, type Serde } from '../../../index.ts';
import type { Contribution, Retraction } from './contribution.ts';
import type { DuplicateRefs, FieldConflicts } from './merged.ts';
import type { StewardOverrides } from './override.ts';

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

/** Not validated on reading: only the store writes it, and stores check their own bytes. */
export const mergeStateSerde: Serde<MergeState> = canonicalJsonSerde<MergeState>();
