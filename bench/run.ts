/** One workload, one guarantee, in a process of its own: prints a RESULT line. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { silentLogger, systemClock, systemRandom } from '../clock.ts';
import type { Logger } from '../clock.ts';
import type { Log } from '../connectors/log.ts';
import { levelStores } from '../state-stores/level.ts';
import { createInstance } from '../topology/runtime/stream-instance.ts';
import type { ProcessingGuarantee } from '../topology/runtime/options.ts';
import { openLogFor } from './log.ts';
import { inputRecords, partitions, topologyOf } from './workloads.ts';
import type { Workload } from './workloads.ts';

export interface RunOptions {
  readonly workload: Workload;
  readonly guarantee: ProcessingGuarantee;
  /** `kafka:host:port` or `embedded:directory`. */
  readonly log: string;
  readonly stateDirectory: string;
  readonly applicationId: string;
  /** Wipes the state and measures how long it takes to come back. */
  readonly restore: boolean;
  readonly records?: number;
}

const verboseLogger: Logger = { ...silentLogger, warn: console.error, error: console.error };

export async function run(options: RunOptions): Promise<void> {
  const log = await openLogFor(options.log);
  const records = options.records ?? inputRecords;
  let seen = 0;
  let firstMs = 0;
  const output = `bench.merged.${options.applicationId}`;
  if (options.workload === 'merge') await log.admin.createTopics([{ name: output, partitions }]);
  const topology = topologyOf(
    options.workload,
    () => {
      if (seen === 0) firstMs = performance.now();
      seen += 1;
    },
    output,
  );
  if (options.restore) await rm(options.stateDirectory, { recursive: true, force: true });
  const instance = createInstance({
    applicationId: options.applicationId,
    instanceId: 'bench',
    topology,
    guarantee: options.guarantee,
    commitIntervalMs: options.guarantee === 'at_least_once' ? 1_000 : 100,
    host: {
      clock: systemClock,
      random: systemRandom,
      log,
      stores: levelStores({ directory: join(options.stateDirectory), logger: verboseLogger, random: systemRandom }),
      logger: verboseLogger,
      fault: () => undefined,
      sometimes: () => undefined,
    },
  });
  const startMs = performance.now();
  const cpu = process.cpuUsage();
  await instance.start();
  if (options.restore) await measureRestore(options, { instance, startMs, cpu, log });
  else await measureRun(options, { instance, cpu, log, records, progress: () => ({ seen, firstMs }) });
}

interface Running {
  readonly instance: ReturnType<typeof createInstance>;
  readonly cpu: NodeJS.CpuUsage;
  readonly log: Log;
}

async function measureRun(
  { workload, guarantee }: RunOptions,
  running: Running & { readonly records: number; progress(): { readonly seen: number; readonly firstMs: number } },
): Promise<void> {
  let rssMax = 0;
  const rssAt = new Map<number, number>();
  while (running.progress().seen < running.records) {
    if (running.instance.state === 'failed') throw running.instance.failure ?? new Error('failed');
    await systemClock.sleep(5);
    const rss = process.memoryUsage.rss();
    rssMax = Math.max(rssMax, rss);
    rssAt.set(Math.floor(running.progress().seen / 1_000_000), rss);
  }
  const doneMs = performance.now();
  await running.instance.close({ timeoutMs: 60_000 });
  const { firstMs } = running.progress();
  const cpuSeconds = secondsSince(running.cpu);
  const wall = (doneMs - firstMs) / 1_000;
  const perMillion = (cpuSeconds / running.records) * 1_000_000;
  print(`RESULT ${workload} ${guarantee} records=${String(running.records)}`, {
    wall,
    rate: running.records / wall,
    cpu: cpuSeconds,
    cpuPerMillion: perMillion,
    rssMB: rssMax / 1024 / 1024,
  });
  if (running.records > 2_000_000)
    print(
      'RSS by million records',
      Object.fromEntries([...rssAt].map(([million, rss]) => [`at${String(million)}M`, rss / 1024 / 1024])),
    );
  await running.log.close();
}

async function measureRestore(
  { workload }: RunOptions,
  running: Running & { readonly startMs: number },
): Promise<void> {
  let restored = 0;
  while (!running.instance.isReady) {
    if (running.instance.state === 'failed') throw running.instance.failure ?? new Error('failed');
    const progress = running.instance.tasks().map((task) => task.restore?.total ?? 0);
    restored = Math.max(
      restored,
      progress.reduce((sum, total) => sum + total, 0),
    );
    await systemClock.sleep(2);
  }
  const wall = (performance.now() - running.startMs) / 1_000;
  const cpuSeconds = secondsSince(running.cpu);
  print(`RESULT restore ${workload} offsets=${String(restored)}`, {
    wall,
    rate: restored / wall,
    cpu: cpuSeconds,
    cpuPerMillion: (cpuSeconds / Math.max(1, restored)) * 1_000_000,
    rssMB: process.memoryUsage.rss() / 1024 / 1024,
  });
  await running.instance.close({ timeoutMs: 60_000 });
  await running.log.close();
}

function secondsSince(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1e6;
}

function print(title: string, figures: Readonly<Record<string, number>>): void {
  const text = Object.entries(figures).map(
    ([name, value]) => `${name}=${value >= 1000 ? value.toFixed(0) : value.toFixed(2)}`,
  );
  console.log([title, ...text].join(' '));
}
