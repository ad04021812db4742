import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { silentLogger } from '../../clock.ts';
import { memoryLog } from '../../connectors/embedded/embedded-log.ts';
import type { Log } from '../../connectors/log.ts';
import { storesContract } from '../contracts/key-value-store-contract.ts';
import { logContract } from '../contracts/log-contract.ts';
import { scenarios } from './campaign.ts';
import { Chance } from './chance.ts';
import { SimDisk } from './disk.ts';
import { Network } from './network.ts';
import { drawPlan, type Plan } from './plan.ts';
import { SimProcess } from './process.ts';
import { runPlan } from './run-plan.ts';
import { Scheduler } from './scheduler.ts';
import { shrink } from './shrink.ts';
import { Trace } from './trace.ts';

/** Virtual time that keeps behind real time, for suites that know no other. */
const scheduler = new Scheduler(new Chance(1, 'ties'));
/** It moves on by no more than this at once, or a wait that begins now would end too early. */
const stepMs = 2;
let isOver = false;
let running: Promise<void> | undefined;

beforeAll(() => {
  running = keepPace();
});

afterAll(async () => {
  isOver = true;
  await running;
});

async function keepPace(): Promise<void> {
  for (let lastMs = performance.now(); !isOver;) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    const nowMs = performance.now();
    await scheduler.run(scheduler.nowMs + Math.min(stepMs, nowMs - lastMs), () => isOver);
    lastMs = nowMs;
  }
}

logContract('the simulated log', async () => {
  const outside = new SimProcess('log', scheduler, 0);
  const log = memoryLog({
    clock: outside.clock,
    random: new Chance(1, 'log'),
    logger: silentLogger,
    markerDelayMs: 10,
  });
  const network = new Network({
    scheduler,
    trace: new Trace(false),
    chance: new Chance(1, 'network'),
    latencyMs: 2,
    requestTimeoutMs: 1_000,
    fate: () => 'delivered',
  });
  const client = (): Log => {
    const process = new SimProcess('client', scheduler, 0);
    return log.client(
      network.carrierOf(process, () => () => undefined),
      process.clock,
    );
  };
  return {
    log: client(),
    another: async () => client(),
    cleanup: () => log.close(),
    caps: { compact: () => log.maintain() },
  };
});

storesContract('the simulated disk', async () => {
  const disk = new SimDisk(new Chance(1, 'disk'), () => ({ delayMs: 1, isFull: false }));
  return disk.storesOf(new SimProcess('client', scheduler, 0));
});

describe('a simulation', () => {
  /** Some 50 ms a seed where a core is free, a hundred times that where none is. */
  const timeoutMs = 600_000;
  const tested = scenarios.map((scenario) => [scenario.name, scenario] as const);

  it.each(tested)(
    'of %s is the same history each time for the same seed',
    async (_, scenario) => {
      const [one, other] = [
        await runPlan(drawPlan(7), scenario, { isTraced: true }),
        await runPlan(drawPlan(7), scenario, { isTraced: true }),
      ];
      expect(one.trace.lines.length).toBeGreaterThan(100);
      expect(other.trace.lines).toEqual(one.trace.lines);
      expect(other.trace.hash).toBe(one.trace.hash);
      const another = await runPlan(drawPlan(8), scenario, { isTraced: false });
      expect(another.trace.hash).not.toBe(one.trace.hash);
    },
    timeoutMs,
  );

  it.each(tested)(
    'of %s leaves nothing lost and nothing twice, over a few seeds',
    async (_, scenario) => {
      for (let seed = 1; seed <= 12; seed += 1) {
        const { violations, transactions } = await runPlan(drawPlan(seed), scenario, { isTraced: false });
        expect({ seed, violations }).toEqual({ seed, violations: [] });
        expect(transactions).toBeGreaterThan(0);
      }
    },
    timeoutMs,
  );

  it('is made smaller as long as it fails, down to the one fault that matters', async () => {
    const kinds = ['crash', 'pause', 'late', 'wipe', 'damage'] as const;
    const faults = kinds.map((kind, index) => ({ kind, atMs: index, machine: 0, forMs: 1, amount: 1, point: '' }));
    const plan: Plan = { ...drawPlan(1), faults, records: 100, partitions: 5, machines: 3 };
    const smallest = await shrink(
      plan,
      async (candidate) => candidate.faults.some(({ kind }) => kind === 'late') && candidate.records >= 10,
    );
    expect(smallest.faults.map(({ kind }) => kind)).toEqual(['late']);
    expect(smallest).toMatchObject({ records: 12, partitions: 1, machines: 1 });
  });
});
