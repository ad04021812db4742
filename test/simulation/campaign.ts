/** Many seeds of one scenario, summed up. */
import { billingScenario } from './billing-scenario.ts';
import { customerMergeScenario } from './customer-merge-scenario.ts';
import { engineScenario } from './engine-scenario.ts';
import { allMarks } from './marks.ts';
import type { Outcome } from './run-plan.ts';
import { parkingScenario } from './parking-scenario.ts';
import type { Scenario } from './scenario.ts';

export const scenarios: readonly Scenario[] = [engineScenario, customerMergeScenario, billingScenario, parkingScenario];

export class Campaign {
  readonly marks = new Map<string, number>();
  readonly #scenario: Scenario;
  #seeds = 0;
  #failed = 0;
  #virtualMs = 0;
  #events = 0;
  #faults = 0;
  #transactions = 0;
  #records = 0;
  readonly #startedMs = performance.now();
  readonly #startedCpu = process.cpuUsage();

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
  }

  add(outcome: Outcome): void {
    this.#seeds += 1;
    if (outcome.violations.length > 0) this.#failed += 1;
    this.#virtualMs += outcome.virtualMs;
    this.#events += outcome.events;
    this.#faults += outcome.faults;
    this.#transactions += outcome.transactions;
    this.#records += outcome.records;
    for (const [mark, count] of outcome.trace.marks) this.marks.set(mark, (this.marks.get(mark) ?? 0) + count);
  }

  /** Paths that no seed has reached. */
  get unreached(): readonly string[] {
    return [...allMarks, ...this.#scenario.marks].filter((mark) => !this.marks.has(mark));
  }

  report(firstSeed: number): string {
    const { user, system } = process.cpuUsage(this.#startedCpu);
    const cpuSeconds = (user + system) / 1e6;
    const seconds = (performance.now() - this.#startedMs) / 1000;
    const marks = [...this.marks].sort(([a], [b]) => (a < b ? -1 : 1)).map(([mark, count]) => `  ${mark}: ${count}`);
    return [
      `${this.#scenario.name}: ${this.#seeds} seeds from ${firstSeed}, ${this.#failed} failed`,
      `  ${(this.#virtualMs / 3_600_000).toFixed(2)} virtual hours, ${this.#events} events, ${this.#faults} faults, ` +
        `${this.#transactions} transactions, ${this.#records} records written by them`,
      `  ${seconds.toFixed(1)} s, ${cpuSeconds.toFixed(1)} s of CPU: ${(this.#seeds / cpuSeconds).toFixed(1)} seeds per CPU second`,
      ...marks,
      this.unreached.length === 0 ? '  every rare path was reached' : `  never reached: ${this.unreached.join(', ')}`,
    ].join('\n');
  }
}
