/** What a task is made of, and where it begins. */
import type { Clock, Logger, Random } from '../../clock.ts';
import type { Plan, SubTopology } from '../plan.ts';
import type { Outputs } from './outputs.ts';
import type { InputChoiceOptions } from './input-choice.ts';
import type { TaskStore } from './task-store.ts';

/** Where to go on with an input, and what was known of time there. */
export interface StartPosition {
  readonly offset: number;
  readonly partitionTimeMs: number;
  /** Times of steps, as committed with that input. */
  readonly stepTimes?: ReadonlyMap<string, number>;
}

export interface TaskOptions extends Pick<InputChoiceOptions, 'maxTaskIdleMs' | 'isCaughtUp'> {
  readonly id: string;
  readonly plan: Plan;
  readonly subTopology: SubTopology;
  readonly partition: number;
  readonly stores: ReadonlyMap<string, TaskStore>;
  /** Of the instance, shared by its tasks. */
  readonly globals: ReadonlyMap<string, TaskStore>;
  readonly outputs: Outputs;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Where to start per input topic. */
  readonly start: ReadonlyMap<string, StartPosition>;
  /** While it says true, a record that fails is the end of the instance. */
  readonly isStrict?: (() => boolean) | undefined;
  /** Called when there is something to do that no record brings. */
  readonly wake: () => void;
}
