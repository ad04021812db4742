/** Everything outside the engine: one object, so that many instances can live in one process under simulated time, disk and network. */
import { consoleLogger, systemClock, systemRandom } from '../../clock.ts';
import type { Clock, Logger, Random } from '../../clock.ts';
import type { Log } from '../../connectors/log.ts';
import type { Stores } from '../../state-stores/store.ts';

export interface Host {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly stores: Stores;
  readonly logger: Logger;
  /** Names a point where a crash, a delay or a failure may be injected. Does nothing in production. */
  fault(point: string): void;
  /** Marks that a rare path was taken. Does nothing in production. */
  sometimes(mark: string): void;
}

/** A host of which only the log and the stores must be given; the rest is the machine's own. */
export type HostOptions = Pick<Host, 'log' | 'stores'> & Partial<Host>;

export function resolveHost(options: HostOptions): Host {
  return {
    clock: systemClock,
    random: systemRandom,
    logger: consoleLogger,
    fault: () => undefined,
    sometimes: () => undefined,
    ...options,
  };
}
