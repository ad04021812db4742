import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { openSync, closeSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import { Cluster } from '../../connectors/kafka/cluster.ts';
import { freePorts } from './free-ports.ts';
import { fetchJars } from './jars.ts';
import { watchOver } from './watchdog.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));

const defaultVersion = '4.3.1';
/**
 * For brokers that are killed in the middle of transactions. Kafka 4.3 (KAFKA-20734, seen on 4.3.1) skips the markers of decided transactions on partitions that
 * have no leader at that moment, as when their only broker comes up again: committed records stay undecided, or aborted ones become visible with the next commit.
 */
export const soundVersion = '4.1.1';
const oldestJava = 17;
/** A broker is up in 3 s on an idle machine, 10 s later after a crash (its old session has to expire); a loaded one takes ten times as long. */
const startMsMax = 300_000;
/** To one question whether a broker is up. */
const answerMsMax = 2_000;
/** A free port may be taken before the broker binds it; losing that race three times in a row means something else. */
const startsMax = 3;
/** Of one broker alone, and of each of several. */
const heapMb = { single: 768, clustered: 320 } as const;

export interface KafkaOptions {
  /** Of the broker, e.g. `4.1.1`. Default: `KAFKA_VERSION`, else the version in `kafka/pom.xml`. */
  readonly version?: string;
  /** Lines of `server.properties` on top of the test defaults. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Options of Java on top of those of tests. */
  readonly java?: readonly string[];
}

export interface RunningKafka {
  /** `host:port`, several joined by commas. */
  readonly brokers: string;
  /** Of the broker's process now; undefined if it belongs to someone else (`KAFKA_BROKERS`) or is down. */
  readonly pid: number | undefined;
  /** Sends a signal to the broker's process, e.g. to crash it (`SIGKILL`) or to let it go on (`SIGCONT`). */
  kill(signal: NodeJS.Signals): void;
  /** Stops the broker's process where it is; resolves once it stands still, which is a moment after the signal. */
  freeze(): Promise<void>;
  /** Ends the process if it still runs and starts it on the same data and ports; resolves when it serves again. */
  restart(): Promise<void>;
  /** Ends the process and removes its data. May be called twice. Never touches a broker given by `KAFKA_BROKERS`. */
  stop(): Promise<void>;
}

/** Several brokers that serve each other's partitions. */
export interface RunningCluster {
  /** `host:port` of all, joined by commas. */
  readonly brokers: string;
  readonly nodes: readonly RunningKafka[];
  /** Ends all and removes their data. */
  stop(): Promise<void>;
}

/**
 * A single-node broker on loopback whose time-outs are set for tests, or the reason why there can be none here.
 *
 * The broker dies with this process, whatever ends it. Rejects if a broker should start but does not.
 */
export async function startKafka(options: KafkaOptions = {}): Promise<RunningKafka | { readonly skipped: string }> {
  const given = process.env['KAFKA_BROKERS'];
  if (given !== undefined && given !== '') return foreignKafka(given);
  const found = await findKafka(options);
  if ('skipped' in found) return found;
  const [broker] = await startBrokers(found.lib, 1, options);
  if (broker === undefined) throw new Error('no broker was started');
  return broker;
}

/** As `startKafka`, but `nodeCount` brokers that are controllers too, and never those of `KAFKA_BROKERS`. */
export async function startKafkaCluster(
  nodeCount: number,
  options: KafkaOptions = {},
): Promise<RunningCluster | { readonly skipped: string }> {
  const found = await findKafka(options);
  if ('skipped' in found) return found;
  const nodes = await startBrokers(found.lib, nodeCount, options);
  return {
    brokers: nodes.map(({ brokers }) => brokers).join(','),
    nodes,
    stop: async () => {
      await Promise.all(nodes.map((node) => node.stop()));
    },
  };
}

async function findKafka(options: KafkaOptions): Promise<{ readonly lib: string } | { readonly skipped: string }> {
  const version = options.version ?? process.env['KAFKA_VERSION'] ?? defaultVersion;
  const lib = join(root, '.cache', `kafka-${version}`, 'lib');
  const missing = (await whyNoJava()) ?? (await fetchBroker(version, join(lib, '..')));
  return missing === undefined ? { lib } : { skipped: `no Kafka: KAFKA_BROKERS is not set and ${missing}` };
}

async function startBrokers(
  lib: string,
  count: number,
  { settings = {}, java = [] }: KafkaOptions,
): Promise<readonly Broker[]> {
  for (let startCount = 1; ; startCount++) {
    const ports = await freePorts(2 * count);
    const quorum = Array.from({ length: count }, (_, index) => ({
      id: index + 1,
      clientPort: ports[2 * index] ?? 0,
      controllerPort: ports[2 * index + 1] ?? 0,
    }));
    const brokers = await Promise.all(
      quorum.map(
        async (node) => new Broker(lib, await mkdtemp(join(tmpdir(), 'rivulet-kafka-')), { node, quorum, java }),
      ),
    );
    const results = await Promise.allSettled(
      brokers.map(async (broker) => {
        await broker.format(settings);
        await broker.start();
      }),
    );
    const failed = results.find((result) => result.status === 'rejected');
    if (failed === undefined) return brokers;
    const logs = await Promise.all(brokers.map((broker) => broker.logTail()));
    await Promise.all(brokers.map((broker) => broker.stop()));
    if (startCount < startsMax && logs.some((log) => log.includes('Address already in use'))) continue;
    throw new Error(`Kafka did not start; the end of its log:\n${logs.join('\n')}`, { cause: failed.reason });
  }
}

interface KafkaNode {
  readonly id: number;
  readonly clientPort: number;
  readonly controllerPort: number;
}

interface Placement {
  readonly node: KafkaNode;
  readonly quorum: readonly KafkaNode[];
  readonly java: readonly string[];
}

class Broker implements RunningKafka {
  readonly brokers: string;
  readonly #lib: string;
  readonly #folder: string;
  readonly #placement: Placement;
  #process: ChildProcess | undefined;

  constructor(lib: string, folder: string, placement: Placement) {
    this.brokers = `127.0.0.1:${String(placement.node.clientPort)}`;
    this.#lib = lib;
    this.#folder = folder;
    this.#placement = placement;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  async format(settings: Readonly<Record<string, string>>): Promise<void> {
    const properties = { ...serverProperties(this.#folder, this.#placement), ...settings };
    const lines = Object.entries(properties).map(([name, value]) => `${name}=${value}`);
    await writeFile(this.#configFile, `${lines.join('\n')}\n`);

    const clusterId = Buffer.from('rivulet-test-001').toString('base64url');
    const mode = this.#placement.quorum.length > 1 ? [] : ['--standalone'];
    const format = ['kafka.tools.StorageTool', 'format', ...mode, '-t', clusterId, '-c', this.#configFile];
    const fastStart = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC'];
    await run('java', [...fastStart, ...this.#javaArguments, ...format], { timeout: startMsMax });
  }

  /** Resolves when the broker has registered and answers. */
  async start(): Promise<void> {
    const log = openSync(this.#logFile, 'a');
    const heap = this.#placement.quorum.length > 1 ? heapMb.clustered : heapMb.single;
    const { java } = this.#placement;
    const args = [`-Xmx${String(heap)}m`, ...java, ...this.#javaArguments, 'kafka.Kafka', this.#configFile];
    const broker = spawn('java', args, { cwd: this.#folder, stdio: ['ignore', log, log] });
    closeSync(log);
    await once(broker, 'spawn');
    this.#process = broker;

    watchOver(broker, this.#folder);
    broker.once('exit', () => {
      if (this.#process === broker) this.#process = undefined;
    });
    await this.#untilReady(broker);
  }

  kill(signal: NodeJS.Signals): void {
    this.#process?.kill(signal);
  }

  async freeze(): Promise<void> {
    this.kill('SIGSTOP');
    for (let state = ''; !state.startsWith('T');)
      state = (await run('ps', ['-o', 'state=', '-p', String(this.pid)])).stdout.trim();
  }

  async restart(): Promise<void> {
    await this.#end();
    await this.start();
  }

  async stop(): Promise<void> {
    await this.#end();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async logTail(): Promise<string> {
    const log = await readFile(this.#logFile, 'utf8').catch(() => '');
    return log.split('\n').slice(-30).join('\n');
  }

  get #configFile(): string {
    return join(this.#folder, 'server.properties');
  }

  get #logFile(): string {
    return join(this.#folder, 'broker.log');
  }

  get #javaArguments(): readonly string[] {
    return ['-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-cp', join(this.#lib, '*')];
  }

  /** Kills, because a clean shutdown takes seconds and nobody reads the data afterwards. */
  async #end(): Promise<void> {
    const broker = this.#process;
    if (broker === undefined) return;
    const exited = once(broker, 'exit');
    broker.kill('SIGKILL');
    await exited;
  }

  async #untilReady(broker: ChildProcess): Promise<void> {
    const deadlineMs = Date.now() + startMsMax;
    let lastError: unknown;
    while (Date.now() < deadlineMs) {
      if (broker.exitCode !== null || broker.signalCode !== null) throw new Error('the broker ended while starting');
      try {
        if (await isServing(this.brokers)) return;
      } catch (error) {
        lastError = error;
      }
      await sleep(100);
    }
    throw new Error(`the broker did not answer within ${String(startMsMax)} ms`, { cause: lastError });
  }
}

function foreignKafka(brokers: string): RunningKafka {
  const notOurs = (): never => {
    throw new Error('this broker was given by KAFKA_BROKERS and is not ours to end');
  };
  return {
    brokers,
    pid: undefined,
    kill: notOurs,
    freeze: notOurs,
    restart: () => Promise.reject(new Error('this broker was given by KAFKA_BROKERS and is not ours to restart')),
    stop: () => Promise.resolve(),
  };
}

/** A node that is broker and controller, keeps up to three replicas of everything, and waits for as little as it may. */
function serverProperties(folder: string, { node, quorum }: Placement): Record<string, string> {
  const clients = `PLAINTEXT://127.0.0.1:${String(node.clientPort)}`;
  const replicas = String(Math.min(3, quorum.length));
  const inSync = String(Math.min(2, quorum.length));
  const voters = quorum.map(({ id, controllerPort }) => `${String(id)}@127.0.0.1:${String(controllerPort)}`);
  return {
    'process.roles': 'broker,controller',
    'node.id': String(node.id),
    listeners: `${clients},CONTROLLER://127.0.0.1:${String(node.controllerPort)}`,
    'advertised.listeners': clients,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'controller.listener.names': 'CONTROLLER',
    ...(quorum.length > 1
      ? { 'controller.quorum.voters': voters.join(',') }
      : { 'controller.quorum.bootstrap.servers': `127.0.0.1:${String(node.controllerPort)}` }),
    'log.dirs': join(folder, 'data'),

    'default.replication.factor': replicas,
    'min.insync.replicas': inSync,
    'offsets.topic.replication.factor': replicas,
    'offsets.topic.num.partitions': '5',
    'transaction.state.log.replication.factor': replicas,
    'transaction.state.log.min.isr': inSync,
    'transaction.state.log.num.partitions': '5',
    'share.coordinator.state.topic.replication.factor': replicas,
    'share.coordinator.state.topic.min.isr': inSync,
    'auto.create.topics.enable': 'false',
    // Most records of tests are years old: nothing may go because of its age while a test runs, whatever its topic's retention is.
    'log.initial.task.delay.ms': '3600000',

    'group.min.session.timeout.ms': '1000',
    'group.initial.rebalance.delay.ms': '0',
    'transaction.abort.timed.out.transaction.cleanup.interval.ms': '1000',
  };
}

async function isServing(brokers: string): Promise<boolean> {
  const timeouts = { requestTimeoutMs: answerMsMax, connectTimeoutMs: answerMsMax, operationTimeoutMs: answerMsMax };
  const cluster = new Cluster(
    { brokers: brokers.split(','), clientId: 'readiness', ...timeouts },
    { clock: systemClock, random: systemRandom, logger: silentLogger },
  );
  try {
    return (await cluster.metadata([])).brokers.size > 0;
  } finally {
    await cluster.close();
  }
}

async function whyNoJava(): Promise<string | undefined> {
  try {
    const { stderr } = await run('java', ['-version'], { timeout: startMsMax });
    const major = Number(/version "(\d+)/.exec(stderr)?.[1]);
    if (major >= oldestJava) return undefined;
    return `the broker needs Java ${String(oldestJava)}, this is ${String(major)}`;
  } catch {
    return 'there is no java to start a broker with';
  }
}

/** Copies the broker's jars into a folder of its version. */
function fetchBroker(version: string, folder: string): Promise<string | undefined> {
  const pom = fileURLToPath(new URL('./kafka/pom.xml', import.meta.url));
  return fetchJars({ pom, folder, args: [`-Dkafka.version=${version}`] });
}
