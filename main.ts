/** Starts the application: the only file that chooses implementations. */
import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance } from 'fastify';
import type { SourceWatch } from './api/app/source-routes.ts';
import { applicationConnectors, noSources } from './application-connectors.ts';
import type { Application } from './api/app/application.ts';
import { applications } from './applications.ts';
import { isLoopback } from './api/access.ts';
import { checkStoreNames } from './api/placement.ts';
import { createApi } from './api/server.ts';
import { silentLogger, systemClock, systemRandom, type Logger } from './clock.ts';
import type { Connector } from './connectors/connector.ts';
import { lockDirectory } from './connectors/embedded/directory-lock.ts';
import { embeddedLog } from './connectors/embedded/file-log.ts';
import { kafkaLog, type KafkaOptions } from './connectors/kafka/kafka-log.ts';
import type { Database } from './connectors/database.ts';
import type { Log } from './connectors/log.ts';
import { postgresDatabase } from './connectors/postgres/postgres-database.ts';
import type { OutgoingRecord } from './connectors/outgoing-record.ts';
import { openDataDirectory, type DataDirectory } from './data-directory.ts';
import { dlqCommand, parseDlqArguments, requestTo, type DlqConsole } from './dlq-command.ts';
import { StreamError } from './errors.ts';
import { askerOf, createLogger, describeLog, printExamples, showFindings } from './guide.ts';
import { createProgress } from './progress.ts';
import { feedRecords } from './record-feed.ts';
import { createRecordWriter, type RecordWriter } from './record-writer.ts';
import { openSchemas, type Schemas } from './record-schemas.ts';
import { jsonFormat, type RecordFormat } from './schemas/app/record-format.ts';
import { describeSettings, readSettings, type KafkaSettings, type Settings } from './settings.ts';
import { Shutdown, endOnBugs, endOnSignals } from './shutdown.ts';
import { levelStores } from './state-stores/level.ts';
import { createTerminal, type Terminal } from './terminal.ts';
import { createDeadLetterDesk, type DeadLetterDesk } from './topology/runtime/dead-letter-desk.ts';
import { createInstance, type StreamInstance } from './topology/runtime/stream-instance.ts';
import { createTopics } from './user-topics.ts';

const clock = systemClock;
const random = systemRandom;

/** From the first signal to the end of the process. */
const shutdownMs = 10_000;
/** Of that, for requests under way; and for all instances to commit and leave. */
const apiCloseMs = 1_000;
const instanceCloseMs = 8_000;
const progressEveryMs = 500;

interface Surroundings {
  readonly logger: Logger;
  readonly terminal: Terminal;
  readonly shutdown: Shutdown;
}

async function main(): Promise<void> {
  // Whoever read our output may go away: that is no reason to stop.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  const terminal = createTerminal(process.stdout, clock);
  const settings = settingsOrExit(terminal);
  const logger = createLogger(settings, terminal, clock);
  const shutdown = new Shutdown({ clock, timeoutMs: shutdownMs, exit: (code) => process.exit(code) });
  endOnBugs((error) => {
    logger.error('stopped by a bug', { error });
    terminal.close();
  });
  endOnSignals(shutdown, (signal) => terminal.line(`${signal}: stopping; once more to stop at once`));
  try {
    await run(settings, { logger, terminal, shutdown });
  } catch (error) {
    logger.error('stopped by an error', { error });
    if (error instanceof StreamError) terminal.line(`rivulet: ${error.message}`);
    shutdown.fail();
  }
  const { exitCode, problems } = await shutdown.finished();
  if (problems.length > 0) logger.warn('not everything was closed', { problems });
  logger.info('stopped', { exitCode });
  terminal.close();
  process.exit(exitCode);
}

/** Runs until the end is asked for; rejects with what makes going on impossible. */
async function run(settings: Settings, surroundings: Surroundings): Promise<void> {
  const { logger, terminal, shutdown } = surroundings;
  logger.info('starting', { version: version(), settings: describeSettings(process.env) });
  const directory = await openDataDirectory(settings.dataDir, {
    lock: lockDirectory,
    uuid: () => random.uuid(),
    instanceId: settings.instanceId,
  });
  shutdown.add('data directory', () => directory.release());
  const log = await openLog(settings, directory, logger);
  shutdown.add('log', () => log.close());

  const chosen = applications.filter(({ name }) => settings.topologies.includes(name));
  const schemas = await openSchemas(settings, { log, clock, ...surroundings });
  const instances: StreamInstance[] = [];
  shutdown.add('instances', () => closeAll(instances));
  const writer = createRecordWriter(log);
  shutdown.add('record writer', () => writer.close());
  const surrounding = openConnectors(settings, { log, logger, writer, shutdown, format: schemas.format });
  const deadLetters = desksOf(chosen, settings, { log, ...schemas });
  const api = openApi(settings, { chosen, instances, deadLetters, logger, writer, schemas, ...surrounding });
  const listening = await api.listen({ host: settings.host, port: settings.port });
  // Closed first: nobody asks instances that commit for the last time.
  shutdown.add('api', () => closeApi(api));
  terminal.line(`Rivulet ${version()}, instance ${directory.instanceId}, on ${describeLog(settings)}`);
  terminal.line(`It listens on ${listening}/`);

  const feed = await prepareTopics(settings, chosen, { log, ...schemas }, surroundings);
  if (shutdown.signal.aborted) return;
  for (const connector of surrounding.connectors) connector.start();
  instances.push(...makeInstances(chosen, settings, { directory, log, logger, listening, ...schemas }));
  checkStoreNames(instances);
  printExamples(listening, chosen, terminal);
  await Promise.all([
    ...instances.map((instance) => instance.start()),
    watch(instances, terminal, shutdown.signal),
    feed?.(),
    showFindings(listening, chosen, askerOf(api, settings), { terminal, clock, signal: shutdown.signal }),
  ]);
}

// ---- parts ----------------------------------------------------------------------------------------------------------

async function openLog(settings: Settings, directory: DataDirectory, logger: Logger): Promise<Log> {
  if (settings.kafka === undefined)
    return embeddedLog({ directory: join(directory.path, 'log'), clock, random, logger });
  const { kafka } = settings;
  if (kafka.tls === undefined && !kafka.brokers.every(isLocalBroker))
    logger.warn('records and credentials travel to Kafka in plain text: see KAFKA_SSL');
  return kafkaLog({ clientId: directory.instanceId, ...kafkaOptions(kafka) }, { clock, random, logger });
}

function isLocalBroker(broker: string): boolean {
  return isLoopback(broker.slice(0, broker.lastIndexOf(':')).replace(/^\[|\]$/g, ''));
}

function kafkaOptions({ brokers, tls, sasl }: KafkaSettings): Omit<KafkaOptions, 'clientId'> {
  return {
    brokers,
    ...(tls === undefined
      ? {}
      : {
          ssl: {
            ...(tls.ca === undefined ? {} : { ca: [tls.ca] }),
            ...(tls.cert === undefined ? {} : { cert: tls.cert, key: tls.key?.reveal() }),
          },
        }),
    ...(sasl === undefined ? {} : { sasl: { ...sasl, password: sasl.password.reveal() } }),
  };
}

/** What runs beside the topologies, not yet started, and what it knows. */
function openConnectors(
  settings: Settings,
  {
    log,
    logger,
    writer,
    shutdown,
    format,
  }: Omit<Surroundings, 'terminal'> & Pick<Schemas, 'format'> & { readonly log: Log; readonly writer: RecordWriter },
): Pick<Required<ApiParts>, 'connectors' | 'sources'> & Pick<ApiParts, 'view'> {
  const url = settings.postgresUrl?.reveal();
  const database = url === undefined ? undefined : postgresDatabase({ url, logger });
  if (database !== undefined) shutdown.add('database', () => database.close());
  const { connectors, watch: sources } = applicationConnectors({
    log,
    clock,
    random,
    logger,
    settings,
    format,
    database,
    write: (record) => writer.write(record),
    applicationIdOf: (name) => applicationIdOf(settings, name),
  });
  shutdown.add('connectors', () => Promise.all(connectors.map((connector) => connector.close())));
  return { connectors, sources, view: database };
}

interface ApiParts {
  readonly schemas: Schemas;
  readonly writer: RecordWriter;
  readonly chosen: readonly Application[];
  readonly instances: readonly StreamInstance[];
  readonly deadLetters: readonly DeadLetterDesk[];
  readonly logger: Logger;
  readonly connectors?: readonly Connector[];
  readonly sources?: SourceWatch;
  readonly view?: Database | undefined;
}

function openApi(settings: Settings, parts: ApiParts): FastifyInstance {
  const { chosen, instances, deadLetters, logger, writer, schemas, connectors = [], sources = noSources, view } = parts;
  const { host, advertisedUrl, peerHosts, allowInsecure, rateLimitPerSecond, topicPrefix } = settings;
  const { format, routes } = schemas;
  const ports = { write: (record: OutgoingRecord) => writer.write(record), topicPrefix, format, sources, view };
  return createApi({
    instances,
    clock,
    logger,
    host,
    deadLetters,
    measures: () => connectors.flatMap((connector) => connector.measures()),
    routes: [...routes, ...chosen.flatMap((application) => application.routes?.(ports) ?? [])],
    apiToken: settings.apiToken?.reveal(),
    adminToken: settings.adminToken?.reveal(),
    allowInsecure,
    peerHosts: advertisedUrl === undefined ? peerHosts : [...peerHosts, new URL(advertisedUrl).hostname],
    rateLimitPerSecond,
    version: version(),
  });
}

function applicationIdOf({ applicationId }: Settings, name: string): string {
  return applicationId === undefined ? name : `${applicationId}-${name}`;
}

/** For the applications that put records aside. */
function desksOf(
  chosen: readonly Application[],
  settings: Settings,
  { log, format }: LogAndFormat,
): readonly DeadLetterDesk[] {
  return chosen
    .map(({ name, topology }) => ({
      applicationId: applicationIdOf(settings, name),
      topology: topology(settings.topicPrefix, format),
    }))
    .filter(({ topology }) => topology.settings.deadLetterTopic !== undefined)
    .map((application) => createDeadLetterDesk({ ...application, log, clock, random }));
}

interface LogAndFormat {
  readonly log: Log;
  readonly format: RecordFormat;
}

interface InstanceParts extends LogAndFormat {
  readonly directory: DataDirectory;
  readonly logger: Logger;
  readonly listening: string;
}

function makeInstances(
  chosen: readonly Application[],
  settings: Settings,
  { directory, log, logger, listening, format }: InstanceParts,
): readonly StreamInstance[] {
  const { guarantee, commitIntervalMs, sessionTimeoutMs, transactionTimeoutMs, standbys, staticMembership } = settings;
  const stores = levelStores({ directory: join(directory.path, 'state'), logger, random });
  const isDefinite = settings.host !== '0.0.0.0' && settings.host !== '::';
  const advertisedUrl = settings.advertisedUrl ?? (isDefinite ? listening : undefined);
  if (advertisedUrl === undefined)
    logger.warn('other instances cannot ask this one: HOST is no definite address, set ADVERTISED_URL');
  return chosen.map(({ name, topology }) =>
    createInstance({
      applicationId: applicationIdOf(settings, name),
      instanceId: directory.instanceId,
      topology: topology(settings.topicPrefix, format),
      host: { clock, random, log, stores, logger, fault: () => undefined, sometimes: () => undefined },
      ...(advertisedUrl === undefined ? {} : { advertisedUrl }),
      guarantee,
      commitIntervalMs,
      // Without a network between, waiting for more before a commit gains nothing.
      ...(settings.kafka === undefined ? { commitGapMs: 0 } : {}),
      sessionTimeoutMs,
      transactionTimeoutMs,
      standbys,
      staticMembership,
    }),
  );
}

// ---- running --------------------------------------------------------------------------------------------------------

/**
 * Creates the topics that are missing, and returns what writes samples to them: if it is told to, or if neither a source nor anybody else can have
 * written there.
 */
async function prepareTopics(
  settings: Settings,
  chosen: readonly Application[],
  { log, format }: LogAndFormat,
  surroundings: Surroundings,
): Promise<(() => Promise<void>) | undefined> {
  const { topicPrefix, sampleFeed: wish, kafka, systemB } = settings;
  if (wish === 'false' && systemB === undefined) return undefined;
  const named = chosen.flatMap((application) => application.topics(topicPrefix));
  const topics = [...new Map(named.map((topic) => [topic.name, topic])).values()];
  const { logger, terminal, shutdown } = surroundings;
  const onWaiting = (reason: string): void => terminal.status(`waiting for the log: ${reason}`);
  const created = await createTopics(log, topics, { clock, logger, signal: shutdown.signal, onWaiting });
  const isOurs = systemB === undefined && (kafka === undefined || created.length === topics.length);
  if (wish === 'false' || (wish === 'auto' && !isOurs)) return undefined;
  const partitions = new Map(topics.map((topic) => [topic.name, topic.partitions]));
  return async () => {
    const samples = chosen.flatMap((application) => application.samples?.({ topicPrefix, format }) ?? []);
    const feeds = samples.map((records) =>
      feedRecords({ log, records, partitions, clock, logger, signal: shutdown.signal }),
    );
    const feeding = Promise.all(feeds);
    shutdown.add('sample feed', () => feeding);
    await feeding;
  };
}

/** Shows progress until the end is asked for; rejects once an instance has failed for good: a supervisor may start the process anew. */
async function watch(instances: readonly StreamInstance[], terminal: Terminal, signal: AbortSignal): Promise<void> {
  const progress = createProgress(instances, clock);
  while (!signal.aborted) {
    const failed = instances.find(({ state }) => state === 'failed');
    if (failed !== undefined)
      throw failed.failure ?? new StreamError('PROCESSING_FAILED', `${failed.applicationId} has failed`);
    terminal.status(progress());
    await clock.sleep(progressEveryMs, signal);
  }
}

async function closeAll(instances: readonly StreamInstance[]): Promise<boolean> {
  const closed = await Promise.all(instances.map((instance) => instance.close({ timeoutMs: instanceCloseMs })));
  return closed.every((isClean) => isClean);
}

/** Lets answers that are under way go out, for a moment. */
async function closeApi(api: FastifyInstance): Promise<void> {
  const timer = clock.timer(apiCloseMs, () => api.server.closeAllConnections());
  await api.close();
  timer.cancel();
}

// ---- for people -----------------------------------------------------------------------------------------------------

function settingsOrExit(terminal: Terminal): Settings {
  try {
    return readSettings({ env: process.env, topologies: applications.map(({ name }) => name) });
  } catch (error) {
    terminal.line(`rivulet: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  }
}

function version(): string {
  const file = fileURLToPath(import.meta.resolve('rivulet/package.json'));
  const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'));
  const isPackage = typeof parsed === 'object' && parsed !== null && 'version' in parsed;
  return isPackage ? String(parsed.version) : '';
}

// ---- dead letters ---------------------------------------------------------------------------------------------------

/** Asks a running instance, or, where Kafka is named and no URL, the log itself through an API of its own that nobody else reaches. */
async function dlq(args: readonly string[]): Promise<number> {
  const settings = settingsOrExit(createTerminal(process.stdout, clock));
  const parsed = parseDlqArguments(args);
  const screen = { print: (line: string) => process.stdout.write(`${line}\n`), user: userInfo().username };
  const url = parsed?.values['url'] ?? (settings.kafka === undefined ? `http://127.0.0.1:${settings.port}` : undefined);
  const token = settings.adminToken ?? settings.apiToken;
  const headers = token === undefined ? {} : { authorization: `Bearer ${token.reveal()}` };
  if (url !== undefined) return await dlqCommand(parsed, { ...screen, request: requestTo(url, headers) });
  const { kafka } = settings;
  const log = kafkaLog(
    { clientId: 'dlq', ...kafkaOptions(kafka ?? { brokers: [], tls: undefined, sasl: undefined }) },
    { clock, random, logger: silentLogger },
  );
  const chosen = applications.filter(({ name }) => settings.topologies.includes(name));
  const writer = createRecordWriter(log);
  // Dead letters are bytes: nobody writes values here.
  const schemas = { format: jsonFormat, routes: [] };
  const deadLetters = desksOf(chosen, settings, { log, format: jsonFormat });
  const parts = { chosen, instances: [], deadLetters, logger: silentLogger, writer, schemas };
  const api = openApi(settings, parts);
  try {
    const request: DlqConsole['request'] = async (method, path, payload) => {
      const { statusCode, body } = await api.inject({
        method,
        url: path,
        headers,
        ...(payload === undefined ? {} : { payload }),
      });
      return { status: statusCode, body: JSON.parse(body) as unknown };
    };
    return await dlqCommand(parsed, { ...screen, request });
  } finally {
    await api.close();
    await log.close();
  }
}

if (process.argv[2] === 'dlq') process.exit(await dlq(process.argv.slice(3)));
await main();
