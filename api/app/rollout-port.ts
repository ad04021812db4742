/** What routes know of the rollout, and how they change it. */
import { StreamError } from '../../index.ts';
import type { RolloutChange, RolloutFlag } from '../../schemas/app/rollout.ts';

export interface RolloutPort {
  /** How long a share is held before it may grow. */
  readonly holdMs: number;
  percentOf(flag: RolloutFlag): number;
  /** Whether a key goes the new way. */
  isOn(flag: RolloutFlag, key: string): boolean;
  isPaused(topology: string): boolean;
  /** Oldest first; the last one is in force. */
  history(kind: RolloutChange['kind'], name: string): readonly RolloutChange[];
  /** Resolves once it is in force in this process; the others follow as they read it. Rejects with `LOG_UNAVAILABLE`. */
  change(change: RolloutChange): Promise<void>;
}

/** Nothing was ever changed, and nothing can be. */
export const fixedRollout: RolloutPort = {
  holdMs: 0,
  percentOf: () => 0,
  isOn: () => false,
  isPaused: () => false,
  history: () => [],
  change: () => Promise.reject(new StreamError('LOG_UNAVAILABLE', 'there is no log to write to')),
};
