/** Everything of one simulation: the log, the machines, those who write and those who ask. */
import { silentLogger } from '../../clock.ts';
import { memoryLog, type EmbeddedLog } from '../../connectors/embedded/embedded-log.ts';
import { StreamError } from '../../errors.ts';
import { Chance } from './chance.ts';
import { FaultState } from './fault-state.ts';
import { Ledger } from './ledger.ts';
import { Machine } from './machine.ts';
import { Network } from './network.ts';
import type { Fault, Plan } from './plan.ts';
import { SimProcess } from './process.ts';
import { Queries } from './queries.ts';
import type { Append, Scenario } from './scenario.ts';
import { Scheduler } from './scheduler.ts';
import type { Trace } from './trace.ts';

/** Machines come up within this. */
const startWithinMs = 2_000;
/** Queries and liveness are looked at about this often. */
const lookMs = 200;

export class World {
  readonly scheduler: Scheduler;
  readonly ledger = new Ledger();
  readonly log: EmbeddedLog;
  readonly machines: readonly Machine[];
  readonly queries: Queries;
  faultCount = 0;
  readonly #plan: Plan;
  readonly #scenario: Scenario;
  readonly #trace: Trace;
  readonly #faults: FaultState;
  readonly #chance: Chance;
  /** Where the log runs, and whoever writes and asks. */
  readonly #outside: SimProcess;

  constructor(plan: Plan, scenario: Scenario, trace: Trace) {
    this.#plan = plan;
    this.#scenario = scenario;
    this.#trace = trace;
    this.#chance = new Chance(plan.seed, 'world');
    this.scheduler = new Scheduler(new Chance(plan.seed, 'ties'));
    const { scheduler, ledger } = this;
    this.#outside = new SimProcess('log', scheduler, plan.tuning.yieldMs);
    this.log = memoryLog({
      clock: this.#outside.clock,
      random: new Chance(plan.seed, 'log'),
      markerDelayMs: plan.tuning.markerDelayMs,
      logger: silentLogger,
    });
    const { log } = this;
    const faults = new FaultState(plan, new Chance(plan.seed, 'faults'));
    this.#faults = faults;
    const network = new Network({
      scheduler,
      trace,
      chance: new Chance(plan.seed, 'network'),
      latencyMs: plan.tuning.latencyMs,
      requestTimeoutMs: plan.tuning.requestTimeoutMs,
      fate: (process, request) => faults.fateOf(this.#indexOf(process), request),
    });
    this.machines = Array.from(
      { length: plan.machines },
      (_, index) => new Machine({ index, plan, scenario, scheduler, trace, log, network, faults, ledger }),
    );
    this.queries = new Queries(ledger, new Chance(plan.seed, 'queries'));
  }

  /** Creates the topics and lays out everything that will happen. */
  async prepare(): Promise<void> {
    const { partitions, durationMs, records, seed } = this.#plan;
    await this.log.admin.createTopics(this.#scenario.topics.map((topic) => ({ ...topic, partitions })));
    for (const [index, machine] of this.machines.entries())
      this.scheduler.at(index === 0 ? 0 : this.#chance.next() * startWithinMs, undefined, () => {
        machine.start();
      });
    const chance = new Chance(seed, 'inputs');
    for (const append of this.#scenario.inputs({ chance, records, partitions, durationMs }))
      this.scheduler.at(append.atMs, undefined, () => {
        this.#append(append).catch((error: unknown) => {
          this.ledger.violations.push(`writing inputs failed: ${String(error)}`);
        });
      });
    for (const fault of this.#plan.faults)
      this.scheduler.at(fault.atMs, undefined, () => {
        this.#strike(fault);
      });
    this.#look();
  }

  /** Ends all faults and brings every machine up. */
  heal(): void {
    this.#faults.heal();
    this.#trace.add({ atMs: this.scheduler.nowMs, who: 'world', what: 'all faults end', isMilestone: true });
    for (const machine of this.machines) {
      if (machine.process !== undefined) machine.process.pausedUntilMs = 0;
      machine.start();
    }
  }

  get isBroken(): boolean {
    return this.ledger.violations.length > 0;
  }

  #indexOf(process: SimProcess): number {
    return Number(process.name.slice(1, process.name.indexOf('.')));
  }

  async #append({ batches, outcome }: Append): Promise<void> {
    this.#trace.mark(`input: ${outcome}`);
    if (outcome === 'plain') {
      const producer = await this.log.producer({});
      await producer.send(batches);
      await producer.close();
      return;
    }
    const producer = await this.log.producer({
      transactionalId: this.#chance.uuid(),
      transactionTimeoutMs: this.#plan.tuning.transactionTimeoutMs,
    });
    producer.begin();
    await producer.send(batches);
    await this.#outside.wait(this.#chance.next() * 200);
    if (outcome === 'committed') await producer.commit();
    if (outcome === 'aborted') await producer.abort();
    await producer.close();
  }

  /** Now and then: asks the stores, and whether an instance has given up. */
  #look(): void {
    for (const machine of this.machines) {
      const { process, instances } = machine;
      if (process === undefined || process.isDead || process.isPaused) continue;
      for (const instance of instances) {
        if (instance.state === 'failed')
          this.ledger.violations.push(`${process.name} stopped: ${why(instance.failure)}`);
        this.queries.ask(process.name, instance);
      }
    }
    this.scheduler.at(lookMs * (0.5 + this.#chance.next()), undefined, () => {
      this.#look();
    });
  }

  #strike(fault: Fault): void {
    this.faultCount += 1;
    this.#trace.mark(`fault: ${fault.kind}`);
    if (fault.machine === -1 && actions[fault.kind] !== undefined)
      for (const machine of this.machines) this.#act(fault, machine);
    else if (actions[fault.kind] !== undefined) this.#act(fault, this.machines[fault.machine]);
    else if (fault.kind.startsWith('crash-at') || fault.kind === 'pause-at-point') this.#faults.arm(fault);
    else this.#last(fault);
  }

  /** Something that goes on for a while. */
  #last(fault: Fault): void {
    const who = fault.machine === -1 ? 'world' : `m${fault.machine}`;
    const what = `${fault.kind} for ${Math.round(fault.forMs)} ms (${fault.amount})`;
    this.#trace.add({ atMs: this.scheduler.nowMs, who, what, isMilestone: true });
    this.#faults.begin(fault);
    this.scheduler.at(fault.forMs, undefined, () => {
      this.#faults.end(fault);
    });
  }

  #act(fault: Fault, machine: Machine | undefined): void {
    if (machine === undefined) return;
    actions[fault.kind]?.(fault, machine);
    if (fault.kind === 'clock-skew') this.#faults.skew(this.machines.indexOf(machine), fault.amount);
  }
}

/** What happens at once, to one machine. */
const actions: Partial<Record<Fault['kind'], (fault: Fault, machine: Machine) => void>> = {
  crash: (fault, machine) => {
    machine.kill('is killed');
    machine.restartAfter(fault.forMs);
  },
  'power-loss': (fault, machine) => {
    machine.kill('loses its power');
    machine.disk.losePower();
    machine.restartAfter(fault.forMs);
  },
  wipe: (fault, machine) => {
    machine.kill('is killed and loses its disk');
    machine.disk.wipe();
    machine.restartAfter(fault.forMs);
  },
  restart: (fault, machine) => {
    void machine.stop(10_000).then(() => {
      machine.restartAfter(fault.forMs);
    });
  },
  pause: (fault, machine) => {
    machine.pause(fault.forMs, 'pauses');
  },
  damage: (_fault, machine) => {
    const path = machine.disk.damage();
    if (path !== undefined) machine.note(`finds ${path} damaged`);
  },
  'clock-skew': (fault, machine) => {
    if (machine.process !== undefined) machine.process.skewMs = fault.amount;
    machine.note(`has its clock moved by ${fault.amount} ms`);
  },
};

function why(error: unknown): string {
  return error instanceof StreamError ? `${error.code}: ${error.message}` : 'unknown';
}
