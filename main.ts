/** Starts the application: the only file that chooses implementations. */
import { createReadStream } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { applicationConnectors } from './program/application-connectors.ts';
import { applicationIdOf, applications, generationsOf, topologyOf } from './program/applications.ts';
import { isLoopback } from './api/access.ts';
import type { Application } from './api/app/application.ts';
import { checkStoreNames } from './api/placement.ts';
import { silentLogger, systemClock, systemRandom, type Logger } from './clock.ts';
import { lockDirectory } from './connectors/embedded/directory-lock.ts';
import { embeddedLog } from './connectors/embedded/file-log.ts';
import { kafkaLog, type KafkaOptions } from './connectors/kafka/kafka-log.ts';
import type { Database } from './connectors/database.ts';
import type { Log } from './connectors/log.ts';
import { postgresDatabase } from './connectors/postgres/postgres-database.ts';
import { openDataDirectory, type DataDirectory } from './program/data-directory.ts';
import { dlqCommand, parseDlqArguments, type DlqConsole } from './commands/dlq.ts';
import { requestTo, type ApiConsole } from './commands/api-client.ts';
import { backfillCommand } from './commands/backfill.ts';
import { historyCommand } from './commands/history.ts';
import { projectionCommand } from './commands/projection.ts';
import { topicsCommand, type OpenedTopics } from './commands/topics.ts';
import { rolloutReportCommand } from './commands/rollout-report.ts';
import { StreamError } from './errors.ts';
import type { ConnectorPorts } from './program/connector-ports.ts';
import { askerOf, createLogger, describeLog, printExamples, showFindings, version } from './program/guide.ts';
import { instanceMaker, pausable } from './program/instance-maker.ts';
import { closeApi, desksOf, openApi, type ApiParts } from './program/open-api.ts';
import { declaredTopics, prepareTopics, type Surroundings } from './program/prepare-topics.ts';
import { createProgress } from './program/progress.ts';
import { createRecordWriter } from './program/record-writer.ts';
import { openSchemas } from './program/record-schemas.ts';
import { openRollout } from './program/rollout.ts';
import { jsonFormat } from './schemas/app/record-format.ts';
import { describeSettings, readSettings, type KafkaSettings, type Settings } from './program/settings.ts';
import { bearer, type Secret } from './program/settings-reader.ts';
import { Shutdown, endOnBugs, endOnSignals } from './program/shutdown.ts';
import { levelStores } from './state-stores/level.ts';
import { createTerminal, type Terminal } from './program/terminal.ts';
import type { StreamInstance } from './topology/runtime/stream-instance.ts';

const clock = systemClock;
const random = systemRandom;

/** From the first signal to the end of the process. */
const shutdownMs = 10_000;
/** Of that, for all instances to commit and leave. */
const instanceCloseMs = 8_000;
const progressEveryMs = 500;
const historyStatementMs = 600_000;

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
  const directory = await openDirectory(settings);
  shutdown.add('data directory', () => directory.release());
  const log = await openLog(settings, directory, logger);
  shutdown.add('log', () => log.close());

  const chosen = chosenBy(settings);
  const schemas = await openSchemas(settings, { log, clock, ...surroundings });
  const instances: StreamInstance[] = [];
  shutdown.add('instances', () => closeAll(instances));
  const writer = createRecordWriter(log, clock);
  shutdown.add('record writer', () => writer.close());
  const deadLetters = desksOf(chosen, settings, { log, ...schemas });
  const stores = levelStores({ directory: join(directory.path, 'state'), logger, random });
  let listening = '';
  const { instanceId } = directory;
  const host = { log, stores, clock, random, logger };
  const { topicPrefix } = settings;
  const rollout = openRollout({
    ...{ log, clock, logger, topicPrefix, ...settings.rollout },
    write: (record) => writer.write(record),
    onPause: (name) => pausing.follow(name),
  });
  shutdown.add('rollout', () => rollout.connector.close());
  const { format } = schemas;
  const surrounding = openConnectors(settings, { log, stores, logger, writer, shutdown, format, rollout });
  const made = instanceMaker(settings, { ...host, instanceId, listening: () => listening });
  const pausing = pausable(made, (name) => rollout.isPaused(name));
  const { make, of: instancesOf } = pausing;
  const generations = generationsOf(chosen, settings, { ...host, ...schemas, make, instances });
  shutdown.add('generations', () => Promise.all([...generations.values()].map((one) => one.close())));
  const parts = { chosen, instances, deadLetters, logger, writer, schemas, generations, log, rollout, instancesOf };
  const connectors = [rollout.connector, ...surrounding.connectors];
  const api = openApi(settings, { ...parts, ...surrounding, connectors });
  listening = await api.listen({ host: settings.host, port: settings.port });
  // Closed first: nobody asks instances that commit for the last time.
  shutdown.add('api', () => closeApi(api));
  terminal.line(`Rivulet ${version()}, instance ${directory.instanceId}, on ${describeLog(settings)}`);
  terminal.line(`It listens on ${listening}/`);

  const feed = await prepareTopics(settings, chosen, { log, ...schemas }, surroundings);
  if (shutdown.signal.aborted) return;
  for (const connector of connectors) connector.start();
  await rollout.loaded(shutdown.signal);
  for (const one of chosen.filter(({ name }) => !generations.has(name))) {
    const topology = topologyOf(one, settings, format)?.();
    if (topology !== undefined) instances.push(make(applicationIdOf(settings, one.name), topology));
  }
  checkStoreNames(instances);
  printExamples(listening, chosen, terminal);
  await Promise.all([
    ...instances.map((instance) => instance.start()),
    ...[...generations.values()].map((one) => one.start()),
    watch(instances, terminal, shutdown.signal),
    feed?.(),
    showFindings(listening, chosen, askerOf(api, settings), { terminal, clock, signal: shutdown.signal }),
  ]);
}

// ---- parts ----------------------------------------------------------------------------------------------------------

function chosenBy({ topologies }: Settings): readonly Application[] {
  return applications.filter(({ name }) => topologies.includes(name));
}

function openDirectory({ dataDir, instanceId }: Settings): Promise<DataDirectory> {
  return openDataDirectory(dataDir, { lock: lockDirectory, uuid: () => random.uuid(), instanceId });
}

async function openLog(settings: Settings, directory: DataDirectory, logger: Logger): Promise<Log> {
  if (settings.kafka === undefined)
    return embeddedLog({ directory: join(directory.path, 'log'), clock, random, logger });
  const { kafka } = settings;
  if (kafka.tls === undefined && !kafka.brokers.every(isLocalBroker))
    logger.warn('records and credentials travel to Kafka in plain text: see KAFKA_SSL');
  return kafkaAs(directory.instanceId, kafka, logger);
}

function kafkaAs(clientId: string, kafka: KafkaSettings, logger: Logger): Log {
  return kafkaLog({ clientId, ...kafkaOptions(kafka) }, { clock, random, logger });
}

function isLocalBroker(broker: string): boolean {
  return isLoopback(broker.slice(0, broker.lastIndexOf(':')).replace(/^\[|\]$/g, ''));
}

function kafkaOptions({ tls, sasl, ...options }: KafkaSettings): Omit<KafkaOptions, 'clientId'> {
  return {
    ...options,
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

type ConnectorParts = Pick<ConnectorPorts, 'log' | 'stores' | 'format' | 'rollout'>;

/** What runs beside the topologies, not yet started, and what it knows. */
function openConnectors(
  settings: Settings,
  { writer, shutdown, ...parts }: Omit<Surroundings, 'terminal'> & ConnectorParts & Pick<ApiParts, 'writer'>,
): Pick<Required<ApiParts>, 'connectors' | 'sources'> & Pick<ApiParts, 'view' | 'shadow' | 'register' | 'backlog'> {
  const open = (url: Secret | undefined): Database | undefined => {
    if (url === undefined) return undefined;
    const opened = postgresDatabase({ url: url.reveal(), logger: parts.logger });
    shutdown.add('database', () => opened.close());
    return opened;
  };
  const { postgresUrl, sync, employees, writeBackA, writeBackB } = settings;
  const database = open(postgresUrl);
  const [legacy, revamp] = [open(sync?.legacy), open(sync?.revamp)];
  const surrounding = applicationConnectors({
    ...parts,
    clock,
    random,
    settings,
    database,
    synced: legacy === undefined || revamp === undefined ? undefined : { legacy, revamp },
    employees: open(employees?.url),
    systemA: open(writeBackA ?? (writeBackB === undefined ? undefined : settings.systemA)),
    write: (record) => writer.write(record),
    applicationIdOf: (name) => applicationIdOf(settings, name),
  });
  shutdown.add('connectors', () => Promise.all(surrounding.connectors.map((connector) => connector.close())));
  return { ...surrounding, view: database };
}

// ---- running --------------------------------------------------------------------------------------------------------

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

// ---- for people -----------------------------------------------------------------------------------------------------

function settingsOrExit(terminal: Terminal): Settings {
  try {
    return readSettings({
      env: process.env,
      topologies: applications.map(({ name }) => name),
      onRequest: applications.filter(({ isOnRequest }) => isOnRequest === true).map(({ name }) => name),
    });
  } catch (error) {
    terminal.line(`rivulet: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  }
}

// ---- dead letters ---------------------------------------------------------------------------------------------------

/** Asks a running instance, or, where Kafka is named and no URL, the log itself through an API of its own that nobody else reaches. */
async function dlq(args: readonly string[]): Promise<number> {
  const settings = settingsOrExit(createTerminal(process.stdout, clock));
  const parsed = parseDlqArguments(args);
  const screen = { print, user: userInfo().username };
  const { kafka } = settings;
  const url = parsed?.values['url'] ?? `http://127.0.0.1:${settings.port}`;
  const headers = adminHeaders(settings);
  if (kafka === undefined || parsed?.values['url'] !== undefined)
    return await dlqCommand(parsed, { ...screen, request: requestTo(url, headers) });
  const log = kafkaAs('dlq', kafka, silentLogger);
  const chosen = chosenBy(settings);
  const writer = createRecordWriter(log, clock);
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

type Command = (args: readonly string[]) => Promise<number>;
const print = (line: string): boolean => process.stdout.write(`${line}\n`);

/** Of running instances: asks one of them. */
const asking =
  (run: (args: readonly string[], console: ApiConsole) => Promise<number>): Command =>
  (args) =>
    run(args, askedAt(settingsOrExit(createTerminal(process.stdout, clock))));

function askedAt(settings: Settings): ApiConsole {
  const url = process.env['API_URL'] ?? `http://127.0.0.1:${settings.port}`;
  return { request: requestTo(url, adminHeaders(settings)), print, clock };
}

/** Of the log itself: on Kafka beside whatever runs, on the embedded log while nothing does. */
async function topics(args: readonly string[]): Promise<number> {
  const settings = settingsOrExit(createTerminal(process.stdout, clock));
  const { kafka } = settings;
  const open = async (): Promise<OpenedTopics> => {
    if (kafka !== undefined) return kafkaAs('topics', kafka, silentLogger);
    const directory = await openDirectory(settings);
    const log = await openLog(settings, directory, silentLogger);
    return { admin: log.admin, close: () => log.close().then(() => directory.release()) };
  };
  const declared = declaredTopics(chosenBy(settings), settings);
  return await topicsCommand(args, { open, declared, replicationFactor: kafka?.replicationFactor, print });
}

/** Of a running instance, too: it alone writes. What is read comes from here. */
async function history(args: readonly string[]): Promise<number> {
  const settings = settingsOrExit(createTerminal(process.stdout, clock));
  const url = process.env['HISTORY_POSTGRES_URL'] ?? settings.postgresUrl?.reveal();
  // To sort a long table takes its time.
  const slow = { logger: silentLogger, statementTimeoutMs: historyStatementMs };
  const database = url === undefined ? undefined : postgresDatabase({ url, ...slow });
  try {
    const openFile = (path: string): AsyncIterable<string> => createReadStream(path, 'utf8');
    return await historyCommand(args, { ...askedAt(settings), openFile, database });
  } finally {
    await database?.close();
  }
}

function adminHeaders({ adminToken, apiToken }: Settings): Readonly<Record<string, string>> {
  return bearer(adminToken ?? apiToken);
}

const commands: Readonly<Record<string, Command>> = {
  backfill: asking(backfillCommand),
  dlq,
  history,
  projection: asking(projectionCommand),
  'rollout-report': asking(rolloutReportCommand),
  topics,
};

const command = commands[process.argv[2] ?? ''];
if (command !== undefined) process.exit(await command(process.argv.slice(3)));
await main();
