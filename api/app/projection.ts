/** What can be made anew and verified: part of the state of an application that only derives it. */
import type { InstanceView, Log } from '../../index.ts';

/** Of the differences that a comparison finds. */
export const differencesShownMax = 50;

/** What a comparison with the events has found in one partition. */
export interface Verification {
  readonly partition: number;
  /** What its stores reflected at least when they were read. */
  readonly offset: number;
  readonly accounts: number;
  readonly entries: number;
  readonly differenceCount: number;
  /** The first of them, in words. */
  readonly differences: readonly string[];
}

/** Where a comparison looks: at a partition that runs in this process, and at the events. */
export interface VerifiedPartition {
  readonly view: InstanceView;
  readonly log: Log;
  readonly partition: number;
}

export interface Projection {
  readonly name: string;
  /** One of its stores. */
  readonly storeName: string;
  /** Load may go on meanwhile. Throws `STORE_NOT_READY` if the partition does not run here. */
  readonly verify: (verified: VerifiedPartition) => Promise<Verification>;
}

/** Makes the state of an application anew, beside what answers. */
export interface Rebuilding {
  /** Begins, unless it is under way. */
  rebuild(): Promise<RebuildProgress>;
  progress(): Promise<RebuildProgress>;
}

export interface RebuildProgress {
  readonly serving: number;
  /** The one that is being built, and how much of what there was at its start it has read. */
  readonly building?: {
    readonly generation: number;
    readonly done: number;
    readonly total: number;
    /** Code of what keeps it from going on in this process. */
    readonly failure?: string;
    /** It does not go on by itself: somebody has to begin another one. */
    readonly hasFailed?: true;
  };
}
