import { mkdir, mkdtemp, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePorts } from '../free-ports.ts';
import { JavaServer } from '../java-server.ts';
import { fetchDistribution, fetchJars } from '../maven.ts';

const connectVersion = '4.1.1';
const debezium = 'io.debezium:debezium-connector-postgres:3.7.0.Final:tar.gz:plugin';
/** For a connector to do what it is told; a loaded machine takes many times as long as an idle one. */
const changeMsMax = 120_000;

export interface ConnectOptions {
  readonly brokers: readonly string[];
  /** Of the worker's group, and of its topics: unique to the test. */
  readonly name: string;
  /** Variables of its environment, for `${env:…}` in the configuration of a connector. */
  readonly env: Readonly<Record<string, string>>;
  /** With a converter that writes Avro: `avroConverters` says how to use it. */
  readonly hasAvro?: boolean;
}

const converterVersion = '2.6.13.Final';

/** Settings of a connector that writes keys and values in Avro, as Confluent's converter does, with schemas in this registry of Apicurio's. */
export function avroConverters(nativeUrl: string): Readonly<Record<string, string>> {
  const settings = {
    '': 'io.apicurio.registry.utils.converter.AvroConverter',
    '.apicurio.registry.url': nativeUrl,
    '.apicurio.registry.auto-register': 'true',
    '.apicurio.registry.find-latest': 'true',
    '.apicurio.registry.as-confluent': 'true',
    '.apicurio.registry.use-id': 'contentId',
    '.apicurio.registry.headers.enabled': 'false',
  };
  const of = (part: string): readonly (readonly [string, string])[] =>
    Object.entries(settings).map(([name, value]) => [`${part}.converter${name}`, value] as const);
  return Object.fromEntries([...of('key'), ...of('value')]);
}

/** A Kafka Connect worker with Debezium, in a process of its own. */
export class ConnectWorker {
  readonly #server: JavaServer;
  readonly #url: string;

  private constructor(server: JavaServer, url: string) {
    this.#server = server;
    this.#url = url;
  }

  /** Rejects where it cannot be had: it needs Java 17 and Maven. */
  static async start(options: ConnectOptions): Promise<ConnectWorker> {
    const pom = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
    const lib = await fetchJars(`kafka-connect-${connectVersion}`, pom('./pom.xml'));
    const plugins = new Map([['debezium', await fetchDistribution(debezium)]]);
    if (options.hasAvro === true)
      plugins.set('avro', await fetchJars(`avro-converter-${converterVersion}`, pom('./avro-converter.xml')));
    const folder = await mkdtemp(join(tmpdir(), 'rivulet-connect-'));
    await mkdir(join(folder, 'plugins'));
    for (const [name, plugin] of plugins) await symlink(plugin, join(folder, 'plugins', name));
    const [port = 0] = await freePorts(1);
    const url = `http://127.0.0.1:${String(port)}`;
    const properties = join(folder, 'connect.properties');
    await writeFile(properties, linesOf(workerProperties(options, { folder, url })));
    const log = '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn';
    const main = ['-cp', join(lib, '*'), 'org.apache.kafka.connect.cli.ConnectDistributed', properties];
    const server = new JavaServer(folder, ['-Xmx512m', '-XX:+UseSerialGC', log, ...main], options.env);
    const worker = new ConnectWorker(server, url);
    await server.start(async () => (await fetch(`${url}/connectors`)).ok);
    return worker;
  }

  /** Creates or changes a connector; resolves when its task runs. */
  async configure(name: string, config: Readonly<Record<string, string>>): Promise<void> {
    await this.#ask('PUT', `/connectors/${name}/config`, config);
    await this.#until(name, 'RUNNING');
  }

  async stopConnector(name: string): Promise<void> {
    await this.#ask('PUT', `/connectors/${name}/stop`);
    await this.#until(name, 'STOPPED');
  }

  async resumeConnector(name: string): Promise<void> {
    await this.#ask('PUT', `/connectors/${name}/resume`);
    await this.#until(name, 'RUNNING');
  }

  /** How far the connector says it has come, once it has said so at all; `setOffsets` takes it there again while it is stopped. */
  async offsetsOnceKnown(name: string): Promise<unknown> {
    const deadlineMs = Date.now() + changeMsMax;
    for (;;) {
      const known = (await this.#ask('GET', `/connectors/${name}/offsets`)) as { readonly offsets: readonly unknown[] };
      if (known.offsets.length > 0) return known;
      if (Date.now() > deadlineMs) throw new Error(`${name} does not say how far it has come`);
      await sleep(200);
    }
  }

  async setOffsets(name: string, offsets: unknown): Promise<void> {
    await this.#ask('PATCH', `/connectors/${name}/offsets`, offsets);
  }

  /** Ends the process and removes its files. */
  async stop(): Promise<void> {
    await this.#server.stop();
  }

  async #until(name: string, state: string): Promise<void> {
    const deadlineMs = Date.now() + changeMsMax;
    let status: unknown;
    while (Date.now() < deadlineMs) {
      status = await this.#ask('GET', `/connectors/${name}/status`).catch(() => undefined);
      const { connector, tasks = [] } = (status ?? {}) as ConnectorStatus;
      const failed = tasks.find((task) => task.state === 'FAILED');
      if (failed !== undefined) throw new Error(`the task of ${name} failed: ${failed.trace ?? ''}`);
      const isThere = state === 'STOPPED' ? tasks.length === 0 : tasks.some((task) => task.state === state);
      if (connector?.state === state && isThere) return;
      await sleep(200);
    }
    throw new Error(`${name} is not ${state}: ${JSON.stringify(status)}`);
  }

  /** Asks again while the worker rebalances. */
  async #ask(method: string, path: string, body?: unknown): Promise<unknown> {
    const deadlineMs = Date.now() + changeMsMax;
    for (;;) {
      const response = await fetch(`${this.#url}${path}`, {
        method,
        headers: { 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      if (response.ok) return text === '' ? undefined : (JSON.parse(text) as unknown);
      const isBusy = response.status === 409 || response.status >= 500;
      if (!isBusy || Date.now() > deadlineMs) throw new Error(`${method} ${path}: ${String(response.status)} ${text}`);
      await sleep(200);
    }
  }
}

interface ConnectorStatus {
  readonly connector?: { readonly state: string };
  readonly tasks?: readonly { readonly state: string; readonly trace?: string }[];
}

function linesOf(properties: Readonly<Record<string, string>>): string {
  return Object.entries(properties)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}

function workerProperties(
  { brokers, name, hasAvro }: ConnectOptions,
  { folder, url }: { readonly folder: string; readonly url: string },
): Record<string, string> {
  const json = 'org.apache.kafka.connect.json.JsonConverter';
  return {
    'bootstrap.servers': brokers.join(','),
    'group.id': name,
    'config.storage.topic': `${name}-configs`,
    'offset.storage.topic': `${name}-offsets`,
    'status.storage.topic': `${name}-status`,
    'config.storage.replication.factor': '1',
    'offset.storage.replication.factor': '1',
    'offset.storage.partitions': '1',
    'status.storage.replication.factor': '1',
    'status.storage.partitions': '1',
    'offset.flush.interval.ms': '1000',
    'exactly.once.source.support': 'enabled',
    'key.converter': json,
    'value.converter': json,
    'plugin.path': join(folder, 'plugins'),
    // The converter has no manifest to be found by.
    'plugin.discovery': hasAvro === true ? 'hybrid_warn' : 'service_load',
    listeners: url,
    'config.providers': 'env',
    'config.providers.env.class': 'org.apache.kafka.common.config.provider.EnvVarConfigProvider',
  };
}
