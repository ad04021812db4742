/** One machine: a disk, and the process that runs on it now, with its instance. */
import type { LogFacts, Logger } from '../../clock.ts';
import type { EmbeddedLog } from '../../connectors/embedded/embedded-log.ts';
import type { Log } from '../../connectors/log.ts';
import type { Topology } from '../../topology/graph.ts';
import type { Host } from '../../topology/runtime/host.ts';
import { createInstance } from '../../topology/runtime/stream-instance.ts';
import type { StreamInstance } from '../../topology/runtime/stream-instance.ts';
import { Chance } from './chance.ts';
import { SimDisk } from './disk.ts';
import type { FaultState } from './fault-state.ts';
import type { Ledger, ObservedTransaction } from './ledger.ts';
import type { Network } from './network.ts';
import { observedLog } from './observed-log.ts';
import type { Plan } from './plan.ts';
import { SimProcess } from './process.ts';
import type { Scenario } from './scenario.ts';
import type { Scheduler } from './scheduler.ts';
import type { Trace } from './trace.ts';

export interface MachineOptions {
  readonly index: number;
  readonly plan: Plan;
  readonly scenario: Scenario;
  readonly scheduler: Scheduler;
  readonly trace: Trace;
  readonly log: EmbeddedLog;
  readonly network: Network;
  readonly faults: FaultState;
  readonly ledger: Ledger;
}

export class Machine {
  readonly name: string;
  readonly disk: SimDisk;
  process: SimProcess | undefined;
  /** Of the process, one for each application. */
  instances: readonly StreamInstance[] = [];
  readonly #options: MachineOptions;
  readonly #chance: Chance;
  #clients: readonly Log[] = [];
  #starts = 0;
  #isRetired = false;

  constructor(options: MachineOptions) {
    const { index, plan, faults } = options;
    this.#options = options;
    this.name = `m${index}`;
    this.#chance = new Chance(plan.seed, this.name);
    this.disk = new SimDisk(new Chance(plan.seed, `${this.name} disk`), () => faults.ofDisk(index));
  }

  get isUp(): boolean {
    return this.process !== undefined && !this.process.isDead;
  }

  /** Starts a process with what is on the disk. Does nothing if one runs. */
  start(): void {
    if (this.isUp) return;
    const { index, plan, scenario, scheduler, faults, ledger } = this.#options;
    this.#starts += 1;
    const process = new SimProcess(`${this.name}.${this.#starts}`, scheduler, plan.tuning.yieldMs);
    process.skewMs = faults.skewMs(index);
    process.onStep = (step) => {
      this.#onStep(process, step);
    };
    this.process = process;
    const hosts = scenario.topologies.map((topology) => ({ topology, host: this.#host(process, topology.name) }));
    this.#clients = hosts.map(({ host }) => host.log);
    this.instances = hosts.map(({ topology, host }) => this.#instance(topology, host));
    this.note('starts');
    for (const instance of this.instances)
      instance.start().catch((error: unknown) => {
        if (!process.isDead) ledger.violations.push(`${process.name} could not start: ${String(error)}`);
      });
  }

  #instance(topology: Topology, host: Host): StreamInstance {
    const { tuning } = this.#options.plan;
    return createInstance({
      applicationId: topology.name,
      instanceId: this.name,
      topology,
      commitIntervalMs: tuning.commitIntervalMs,
      commitGapMs: tuning.commitGapMs,
      sessionTimeoutMs: tuning.sessionTimeoutMs,
      heartbeatIntervalMs: Math.ceil(tuning.sessionTimeoutMs / 4),
      rebalanceTimeoutMs: tuning.rebalanceTimeoutMs,
      transactionTimeoutMs: tuning.transactionTimeoutMs,
      repartitionPurgeIntervalMs: tuning.repartitionPurgeIntervalMs,
      bufferedBytesMax: tuning.bufferedBytesMax,
      host,
    });
  }

  /** Ends the process where it stands. */
  kill(why: string): void {
    const { process } = this;
    if (process === undefined || process.isDead) return;
    process.isDead = true;
    this.note(why);
    const clients = this.#clients;
    this.#options.scheduler.at(0, undefined, () => {
      for (const client of clients) void client.close();
    });
  }

  pause(forMs: number, why: string): void {
    const { process } = this;
    if (process === undefined || process.isDead) return;
    process.pausedUntilMs = Math.max(process.pausedUntilMs, process.scheduler.nowMs + forMs);
    this.note(`${why} for ${Math.round(forMs)} ms`);
  }

  /** As `stop`, for good. */
  async retire(timeoutMs: number): Promise<boolean> {
    this.#isRetired = true;
    return await this.stop(timeoutMs);
  }

  /** Closes the instances as SIGTERM does, then ends the process. Resolves to whether it was closed in time. */
  async stop(timeoutMs: number): Promise<boolean> {
    const { process, instances } = this;
    if (process === undefined || process.isDead) return true;
    this.note('is told to stop');
    const closed = await Promise.all(instances.map((instance) => instance.close({ timeoutMs })));
    const isInTime = closed.every(Boolean);
    if (this.process === process) this.kill(isInTime ? 'has stopped' : 'did not stop in time and is killed');
    return isInTime;
  }

  note(what: string): void {
    const who = this.process?.name ?? this.name;
    this.#options.trace.add({ atMs: this.#options.scheduler.nowMs, who, what, isMilestone: true });
  }

  #onStep(process: SimProcess, step: string): void {
    if (process.isDead) return;
    const armed = this.#options.faults.atStep(this.#options.index, step);
    if (armed === undefined) return;
    if (armed.kind === 'pause-at-point') this.pause(armed.forMs, `pauses at ${step}`);
    else {
      this.kill(`crashes at ${step}`);
      this.restartAfter(armed.forMs);
    }
  }

  restartAfter(ms: number): void {
    this.#options.scheduler.at(ms, undefined, () => {
      if (!this.#isRetired) this.start();
    });
  }

  #host(process: SimProcess, applicationId: string): Host {
    const { plan, trace, log, network, ledger } = this.#options;
    // Whose commit is being sent: the network takes it along.
    let committing: ObservedTransaction | undefined;
    const carrier = network.carrierOf(process, (request) => {
      const transaction = request === 'end-txn' ? committing : undefined;
      if (request === 'end-txn') committing = undefined;
      return () => {
        if (transaction !== undefined) ledger.committed(transaction);
      };
    });
    return {
      clock: process.clock,
      random: this.#chance,
      log: observedLog(log.client(carrier, process.clock), {
        applicationId,
        instanceId: this.name,
        fetchBytes: plan.tuning.fetchBytes,
        committing: (transaction) => {
          committing = transaction;
        },
      }),
      stores: this.disk.storesOf(process),
      logger: this.#logger(process),
      fault: (point) => {
        process.onStep(point);
      },
      sometimes: (mark) => {
        if (!process.isDead) trace.mark(`engine: ${mark}`);
      },
    };
  }

  #logger(process: SimProcess): Logger {
    const { scheduler, trace } = this.#options;
    const log = (message: string, facts: LogFacts = {}): void => {
      if (process.isDead) return;
      const told = ['code', 'error', 'taskId', 'transactionalId', 'generation', 'topic', 'partition', 'offset']
        .filter((name) => facts[name] !== undefined)
        .map((name) => `${name}=${String(facts[name])}`);
      const what = [message, ...told].join(' ');
      trace.add({ atMs: scheduler.nowMs, who: process.name, what: `"${what}"`, isMilestone: true });
    };
    return { debug: () => undefined, info: log, warn: log, error: log };
  }
}
