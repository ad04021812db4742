/** What a load test is run against: an application that runs already, or processes and a log that are started for it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isLoopback } from '../../api/access.ts';
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import { embeddedLog } from '../../connectors/embedded/file-log.ts';
import { kafkaLog } from '../../connectors/kafka/kafka-log.ts';
import type { Log } from '../../connectors/log.ts';
import { billingTopics, type BillingTopics } from '../../schemas/app/billing/topics.ts';
import { startApplication, type RunningApplication, type StartOptions } from '../../test/support/application.ts';
import { billingDeployment, type BillingDeployment } from '../../test/support/billing/deployment.ts';
import { until } from '../../test/support/cluster.ts';
import { startKafka } from '../../test/support/kafka-broker.ts';
import { cpuSecondsOf } from './figures.ts';

export interface Target {
  readonly urls: readonly string[];
  readonly topics: BillingTopics;
  /** Absent: nobody but the application can read it. */
  readonly log: Log | undefined;
  /** Stops the processes that only work off what another one accepts, where they are, or lets them go on. Absent: there are none. */
  readonly hold?: (isHeld: boolean) => void;
  /** By name of the process. */
  cpuSeconds(): Promise<ReadonlyMap<string, number>>;
  /** Ends the application and hands over its log, at rest; `undefined` where that is not ours to do. */
  settle(): Promise<Log | undefined>;
  stop(): Promise<void>;
}

const patienceMs = 120_000;
const host = { clock: systemClock, random: systemRandom, logger: silentLogger };

/** An application that others run. Whoever names a host that is not this one must say so. */
export function runningTarget(options: {
  readonly urls: readonly string[];
  readonly brokers: string | undefined;
  readonly prefix: string;
  readonly isRemoteAllowed: boolean;
}): Target {
  const { urls, brokers, prefix } = options;
  const hosts = [...urls.map((url) => new URL(url).hostname), ...(brokers?.split(',').map(hostOf) ?? [])];
  const foreign = hosts.find((name) => !isLoopback(name));
  if (foreign !== undefined && !options.isRemoteAllowed)
    throw new Error(`${foreign} is another machine: load it with --allow-remote, if it is meant`);
  const log = brokers === undefined ? undefined : openKafka(brokers);
  return {
    urls,
    log,
    topics: billingTopics(prefix),
    cpuSeconds: async () => new Map(await Promise.all(urls.map(async (url) => [url, await scrapedCpu(url)] as const))),
    settle: () => Promise.resolve(undefined),
    stop: async () => log?.close(),
  };
}

const hostOf = (broker: string): string => broker.slice(0, broker.lastIndexOf(':'));

function openKafka(brokers: string): Log {
  return kafkaLog({ brokers: brokers.split(','), clientId: 'loadtest' }, host);
}

async function scrapedCpu(url: string): Promise<number> {
  const metrics = await (await fetch(new URL('/metrics', url))).text();
  return Number(/^process_cpu_seconds_total (\S+)/m.exec(metrics)?.[1] ?? NaN);
}

/** Processes of the application on a broker of their own (or on `KAFKA_BROKERS`), or one on a log of its own. Whatever fails, nothing goes on running. */
export async function startTarget(options: {
  readonly log: 'kafka' | 'embedded';
  readonly processes: number;
  /** The topologies of one process more, on Kafka: it alone is asked, and the others, which yield to it, run the rest. Absent: all run and answer everything. */
  readonly answering: readonly string[] | undefined;
  /** Of every process of the application, on top of what it needs. */
  readonly environment: Readonly<Record<string, string>>;
  /** Of Node. */
  readonly nodeArgs: readonly string[];
}): Promise<Target> {
  const directory = await mkdtemp(join(tmpdir(), 'rivulet-loadtest-'));
  const deployment = billingDeployment('loadtest');
  const { nodeArgs, processes, answering } = options;
  const started: RunningApplication[] = [];
  const run: Given['run'] = (own, how = {}) => {
    const application = startApplication(
      { ...deployment.environment, LOG_LEVEL: 'warn', ...options.environment, ...own },
      { ...how, nodeArgs: [...nodeArgs, ...(how.nodeArgs ?? [])] },
    );
    started.push(application);
    return application;
  };
  const endings = [() => rm(directory, { recursive: true, force: true })];
  const stop = async (): Promise<void> => {
    await end(started);
    for (const ending of endings.toReversed()) await ending();
  };
  const given: Given = { directory, processes, answering, run, started, atEnd: (ending) => void endings.push(ending) };
  try {
    const target = options.log === 'kafka' ? await onKafka(deployment, given) : await onEmbeddedLog(deployment, given);
    return { ...target, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Given {
  readonly directory: string;
  readonly processes: number;
  readonly answering: readonly string[] | undefined;
  readonly run: (environment: Readonly<Record<string, string>>, how?: StartOptions) => RunningApplication;
  /** All that were run. */
  readonly started: readonly RunningApplication[];
  /** Has something be done once these have ended; what was asked for last comes first. */
  readonly atEnd: (ending: () => Promise<void>) => void;
}

/** Of the process that answers: projections skip what they have, so that once is enough. */
const answeringEnvironment = { PROCESSING_GUARANTEE: 'at_least_once' };
/**
 * Of Node, for that process: young garbage is collected more often, and less long each time; old garbage not before there are 256 MB of it, since
 * four threads look for that, on whatever cores there are.
 */
const answeringNodeArgs = ['--max-semi-space-size=16', '--initial-old-space-size=256'];
/** Of the broker, as where nothing is saved: collecting the garbage of the 768 MB of tests takes 20 ms, several times a second. */
const brokerJava = ['-Xms2g', '-Xmx2g', '-Xmn1200m', '-XX:G1HeapRegionSize=8m', '-XX:+AlwaysPreTouch'];

async function onKafka(deployment: BillingDeployment, given: Given): Promise<Omit<Target, 'stop'>> {
  const { directory, processes, answering, run, started, atEnd } = given;
  const broker = await startKafka({ java: brokerJava });
  if ('skipped' in broker) throw new Error(broker.skipped);
  atEnd(() => broker.stop());
  const log = openKafka(broker.brokers);
  atEnd(() => log.close());
  await until('topics are made', () => log.admin.createTopics(deployment.newTopics).then(() => true), patienceMs);
  const on = (name: string) => ({ KAFKA_BROKERS: broker.brokers, DATA_DIR: join(directory, name) });
  const all = (deployment.environment['TOPOLOGIES'] ?? '').split(',');
  const rest = all.filter((name) => answering?.includes(name) !== true).join();
  const working = Array.from({ length: processes }, (_, index) =>
    run({ ...on(String(index)), TOPOLOGIES: rest }, { isBackground: answering !== undefined }),
  );
  const workers = await urlsOf(working);
  const asked =
    answering === undefined
      ? []
      : [
          run(
            {
              ...on('api'),
              ...answeringEnvironment,
              TOPOLOGIES: answering.join(),
              OTHER_TOPOLOGIES_URL: workers[0] ?? '',
            },
            { nodeArgs: answeringNodeArgs },
          ),
        ];
  return {
    urls: asked.length === 0 ? workers : await urlsOf(asked),
    log,
    topics: deployment.topics,
    ...(asked.length === 0
      ? {}
      : {
          hold: (isHeld) => {
            for (const { signal } of working) signal(isHeld ? 'SIGSTOP' : 'SIGCONT');
          },
        }),
    cpuSeconds: () => cpuOf([...named(started), ['broker', broker.pid]]),
    settle: async () => {
      await until('everything is at rest', () => deployment.isAtRest(log), patienceMs);
      return log;
    },
  };
}

async function onEmbeddedLog(
  deployment: BillingDeployment,
  { directory, run, started, atEnd }: Given,
): Promise<Omit<Target, 'stop'>> {
  const open = (): Promise<Log> => embeddedLog({ directory: join(directory, 'log'), ...host });
  const before = await open();
  await before.admin.createTopics(deployment.newTopics);
  await before.close();
  // The load test reads the topics afterwards, and knows no schemas.
  const application = run({ DATA_DIR: directory, SCHEMA_FORMAT: 'json' });
  return {
    urls: await urlsOf([application]),
    log: undefined,
    topics: deployment.topics,
    cpuSeconds: () => cpuOf(named(started)),
    settle: async () => {
      await end(started);
      const log = await open();
      atEnd(() => log.close());
      return log;
    },
  };
}

/** Of processes that are ready. Rejects if one ends, or is not in time. */
async function urlsOf(started: readonly RunningApplication[]): Promise<readonly string[]> {
  const ended = started.map(async (one) => {
    throw new Error(`the application ended with ${String(await one.ended)}\n${one.stdout()}${one.stderr()}`);
  });
  const urls = await Promise.race([Promise.all(started.map(({ url }) => url)), ...ended]);
  const isReady = async (url: string): Promise<boolean> => (await fetch(`${url}/health/ready`)).status === 200;
  await until('all are ready', async () => (await Promise.all(urls.map(isReady))).every(Boolean), patienceMs);
  return urls;
}

async function end(started: readonly RunningApplication[]): Promise<void> {
  for (const { signal } of started) signal('SIGTERM');
  await Promise.all(started.map(({ ended }) => ended));
}

type Named = readonly (readonly [name: string, pid: number | undefined])[];

function named(started: readonly RunningApplication[]): Named {
  return started.map(({ pid }, index) => [`application ${String(index + 1)}`, pid]);
}

async function cpuOf(processes: Named): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>();
  for (const [name, pid] of processes) {
    const seconds = pid === undefined ? undefined : await cpuSecondsOf(pid);
    if (seconds !== undefined) found.set(name, seconds);
  }
  return found;
}
