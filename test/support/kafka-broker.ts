import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, openSync, closeSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Kafka, logLevel } from 'kafkajs';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));

const defaultVersion = '4.3.1';
const oldestJava = 17;
/** Covers a first download of about 45 MB over a slow line. */
const fetchMsMax = 300_000;
/** A broker is up in 3 s on an idle machine; a loaded one takes ten times as long. */
const startMsMax = 60_000;
/** A free port may be taken before the broker binds it; losing that race three times in a row means something else. */
const startsMax = 3;

export interface KafkaOptions {
  /** Of the broker, e.g. `4.1.1`. Default: `KAFKA_VERSION`, else the version in `kafka/pom.xml`. */
  readonly version?: string;
  /** Lines of `server.properties` on top of the test defaults. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface RunningKafka {
  /** `host:port`, several joined by commas. */
  readonly brokers: string;
  /** Of the broker's process now; undefined if it belongs to someone else (`KAFKA_BROKERS`) or is down. */
  readonly pid: number | undefined;
  /** Sends a signal to the broker's process, e.g. to crash (`SIGKILL`) or freeze (`SIGSTOP`, `SIGCONT`) it. */
  kill(signal: NodeJS.Signals): void;
  /** Ends the process if it still runs and starts it on the same data and ports; resolves when it serves again. */
  restart(): Promise<void>;
  /** Ends the process and removes its data. May be called twice. Never touches a broker given by `KAFKA_BROKERS`. */
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

  const version = options.version ?? process.env['KAFKA_VERSION'] ?? defaultVersion;
  const lib = join(root, '.cache', `kafka-${version}`, 'lib');
  const missing = (await whyNoJava()) ?? (existsSync(lib) ? undefined : await fetchJars(version, lib));
  if (missing !== undefined) return { skipped: `no Kafka: KAFKA_BROKERS is not set and ${missing}` };

  return startBroker(lib, options.settings ?? {});
}

async function startBroker(lib: string, settings: Readonly<Record<string, string>>): Promise<Broker> {
  for (let startCount = 1; ; startCount++) {
    const broker = new Broker(lib, await mkdtemp(join(tmpdir(), 'rivulet-kafka-')));
    try {
      await broker.format(settings);
      await broker.start();
      return broker;
    } catch (error) {
      const log = await broker.logTail();
      await broker.stop();
      if (startCount < startsMax && log.includes('Address already in use')) continue;
      throw new Error(`Kafka did not start; the end of its log:\n${log}`, { cause: error });
    }
  }
}

class Broker implements RunningKafka {
  brokers = '';
  readonly #lib: string;
  readonly #folder: string;
  #process: ChildProcess | undefined;

  constructor(lib: string, folder: string) {
    this.#lib = lib;
    this.#folder = folder;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  async format(settings: Readonly<Record<string, string>>): Promise<void> {
    const [clientPort, controllerPort] = await freePorts();
    this.brokers = `127.0.0.1:${String(clientPort)}`;
    const properties = { ...serverProperties(this.#folder, clientPort, controllerPort), ...settings };
    const lines = Object.entries(properties).map(([name, value]) => `${name}=${value}`);
    await writeFile(this.#configFile, `${lines.join('\n')}\n`);

    const clusterId = Buffer.from('rivulet-test-001').toString('base64url');
    const format = ['kafka.tools.StorageTool', 'format', '--standalone', '-t', clusterId, '-c', this.#configFile];
    const fastStart = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC'];
    await run('java', [...fastStart, ...this.#javaArguments, ...format], { timeout: startMsMax });
  }

  /** Resolves when the broker has registered and answers. */
  async start(): Promise<void> {
    const log = openSync(this.#logFile, 'a');
    const args = ['-Xmx768m', ...this.#javaArguments, 'kafka.Kafka', this.#configFile];
    const broker = spawn('java', args, { cwd: this.#folder, stdio: ['ignore', log, log] });
    closeSync(log);
    await once(broker, 'spawn');
    this.#process = broker;

    const watchdog = this.#watch(broker);
    broker.once('exit', () => {
      watchdog.kill('SIGKILL');
      if (this.#process === broker) this.#process = undefined;
    });
    await this.#untilReady(broker);
  }

  kill(signal: NodeJS.Signals): void {
    this.#process?.kill(signal);
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

  /** A shell that ends the broker and removes its data when our end of its pipe closes: even SIGKILL does that. */
  #watch(broker: ChildProcess): ChildProcess {
    const script = 'cat >/dev/null; kill -9 "$1"; sleep 1; rm -rf "$2"';
    const watchdog = spawn('sh', ['-c', script, 'sh', String(broker.pid), this.#folder], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    watchdog.unref();
    return watchdog;
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
    restart: () => Promise.reject(new Error('this broker was given by KAFKA_BROKERS and is not ours to restart')),
    stop: () => Promise.resolve(),
  };
}

/** One node that is broker and controller, keeps one replica of everything, and waits for as little as it may. */
function serverProperties(folder: string, clientPort: number, controllerPort: number): Record<string, string> {
  const clients = `PLAINTEXT://127.0.0.1:${String(clientPort)}`;
  const controller = `127.0.0.1:${String(controllerPort)}`;
  return {
    'process.roles': 'broker,controller',
    'node.id': '1',
    listeners: `${clients},CONTROLLER://${controller}`,
    'advertised.listeners': clients,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'controller.listener.names': 'CONTROLLER',
    'controller.quorum.bootstrap.servers': controller,
    'log.dirs': join(folder, 'data'),

    'default.replication.factor': '1',
    'min.insync.replicas': '1',
    'offsets.topic.replication.factor': '1',
    'offsets.topic.num.partitions': '5',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'transaction.state.log.num.partitions': '5',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    'auto.create.topics.enable': 'false',

    'group.min.session.timeout.ms': '1000',
    'group.initial.rebalance.delay.ms': '0',
    'transaction.abort.timed.out.transaction.cleanup.interval.ms': '1000',
  };
}

async function isServing(brokers: string): Promise<boolean> {
  const client = new Kafka({
    brokers: brokers.split(','),
    clientId: 'readiness',
    logLevel: logLevel.NOTHING,
    connectionTimeout: 2_000,
    requestTimeout: 2_000,
    retry: { retries: 0 },
  });
  const admin = client.admin();
  try {
    await admin.connect();
    const cluster = await admin.describeCluster();
    return cluster.brokers.length > 0;
  } finally {
    await admin.disconnect();
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

/** Copies the broker's jars into `lib`, all or none; two runs may do so at the same time. */
async function fetchJars(version: string, lib: string): Promise<string | undefined> {
  const folder = join(lib, '..');
  await mkdir(join(folder, '..'), { recursive: true });
  const staging = await mkdtemp(`${folder}-`);
  const pom = fileURLToPath(new URL('./kafka/pom.xml', import.meta.url));
  const args = ['-q', '-B', '-f', pom, `-Dkafka.version=${version}`, 'dependency:copy-dependencies'];
  const target = [`-DoutputDirectory=${join(staging, 'lib')}`, '-DincludeScope=runtime'];
  try {
    await run('mvn', [...args, ...target], { timeout: fetchMsMax });
    await rename(staging, folder).catch((error: unknown) => {
      if (!existsSync(lib)) throw error;
    });
    return undefined;
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n', 3).join(' ') : String(error);
    return `Maven could not fetch Kafka ${version}: ${why}`;
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

async function freePorts(): Promise<readonly [client: number, controller: number]> {
  const servers = [createServer(), createServer()] as const;
  for (const server of servers) await once(server.listen(0, '127.0.0.1'), 'listening');
  const [client, controller] = servers.map((server) => (server.address() as AddressInfo).port);
  for (const server of servers) await once(server.close(), 'close');
  if (client === undefined || controller === undefined) throw new Error('no free port');
  return [client, controller];
}
