/** The faults of a plan that are in force now, and those that wait for their step. */
import type { RequestName } from '../../connectors/embedded/connection.ts';
import type { Chance } from './chance.ts';
import type { DiskFaults } from './disk.ts';
import type { Fate } from './network.ts';
import { fates, type Fault, type Plan } from './plan.ts';

/** Requests that a coordinator answers, of groups or of transactions. */
const coordinated: ReadonlySet<RequestName> = new Set([
  'init-producer',
  'txn-offsets',
  'end-txn',
  'join',
  'sync',
  'heartbeat',
  'leave',
  'commit',
]);

interface Armed {
  readonly fault: Fault;
  stepsLeft: number;
}

export class FaultState {
  readonly #plan: Plan;
  readonly #chance: Chance;
  readonly #inForce = new Set<Fault>();
  readonly #armed = new Set<Armed>();
  readonly #skews = new Map<number, number>();

  constructor(plan: Plan, chance: Chance) {
    this.#plan = plan;
    this.#chance = chance;
  }

  begin(fault: Fault): void {
    this.#inForce.add(fault);
  }

  end(fault: Fault): void {
    this.#inForce.delete(fault);
  }

  /** Strikes when the machine reaches the step, or the point. */
  arm(fault: Fault): void {
    this.#armed.add({ fault, stepsLeft: fault.kind === 'crash-at-step' ? fault.amount : 1 });
  }

  skew(machine: number, byMs: number): void {
    this.#skews.set(machine, byMs);
  }

  skewMs(machine: number): number {
    return this.#skews.get(machine) ?? 0;
  }

  heal(): void {
    this.#inForce.clear();
    this.#armed.clear();
  }

  atStep(machine: number, step: string): Fault | undefined {
    for (const armed of this.#armed) {
      const { fault } = armed;
      if (fault.machine !== machine || (fault.kind !== 'crash-at-step' && fault.point !== step)) continue;
      armed.stepsLeft -= 1;
      if (armed.stepsLeft > 0) continue;
      this.#armed.delete(armed);
      return fault;
    }
    return undefined;
  }

  fateOf(machine: number, request: RequestName): Fate {
    for (const fault of this.#inForce) {
      if (fault.machine !== machine && fault.machine !== -1) continue;
      if (fault.kind === 'coordinator-move' && coordinated.has(request)) return 'refused';
      const fate = fates[fault.kind];
      if (fate !== undefined && this.#chance.isTrue(fault.amount)) return fate;
    }
    return 'delivered';
  }

  ofDisk(machine: number): DiskFaults {
    let delayMs = this.#plan.tuning.diskMs;
    let isFull = false;
    for (const fault of this.#inForce) {
      if (fault.machine !== machine && fault.machine !== -1) continue;
      if (fault.kind === 'slow-disk') delayMs = Math.max(delayMs, fault.amount);
      if (fault.kind === 'disk-full') isFull = true;
    }
    return { delayMs, isFull };
  }
}
