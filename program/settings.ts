/** The settings of the application: read from the environment once, at start, and refused with the name of the variable when they make no sense. */
import { isLoopback } from '../api/access.ts';
import type { LogLevel } from '../clock.ts';
import type { RolloutFlag } from '../schemas/app/rollout.ts';
import { SettingsReader, secret, type Secret, type Variable } from './settings-reader.ts';

export interface KafkaSettings {
  readonly brokers: readonly string[];
  /** Of topics that are created: fewer where there are fewer brokers. */
  readonly replicationFactor: number;
  readonly tls: TlsSettings | undefined;
  readonly sasl: SaslSettings | undefined;
}

/** Without a URL: the registry of this process, on the embedded log. */
export interface SchemaRegistrySettings {
  readonly url: string | undefined;
  readonly auth: { readonly username: string; readonly password: Secret } | undefined;
}

/** PEM texts, already read. */
export interface TlsSettings {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: Secret | undefined;
}

export type SaslMechanism = 'plain' | 'scram-sha-256' | 'scram-sha-512';

export interface SaslSettings {
  readonly mechanism: SaslMechanism;
  readonly username: string;
  readonly password: Secret;
}

export interface Settings {
  readonly port: number;
  readonly host: string;
  readonly dataDir: string;
  /** Absent: the embedded log in `dataDir`. */
  readonly kafka: KafkaSettings | undefined;
  /** Absent: records are JSON. */
  readonly schemaRegistry: SchemaRegistrySettings | undefined;
  readonly applicationId: string | undefined;
  readonly instanceId: string | undefined;
  readonly advertisedUrl: string | undefined;
  readonly topicPrefix: string;
  readonly topologies: readonly string[];
  /** Of a process that runs the others. Absent: what is asked of them is refused. */
  readonly otherTopologiesUrl: string | undefined;
  readonly guarantee: 'exactly_once' | 'at_least_once';
  readonly commitIntervalMs: number;
  readonly sessionTimeoutMs: number;
  readonly transactionTimeoutMs: number;
  readonly standbys: number;
  readonly staticMembership: boolean;
  readonly sampleFeed: 'auto' | 'true' | 'false';
  readonly logLevel: LogLevel;
  readonly apiToken: Secret | undefined;
  readonly adminToken: Secret | undefined;
  readonly allowInsecure: boolean;
  readonly peerHosts: readonly string[];
  readonly rateLimitPerSecond: number;
  /** Records of billing that may wait to be worked off; 0: any number. */
  readonly backlogMax: number;
  /** Who pays withdrawals out. Absent: they are posted at once. */
  readonly payouts: AskedApi | undefined;
  /** URL of system A's database. Absent: its changes are not captured from here. */
  readonly systemA: Secret | undefined;
  /** System A's file while it is one of SQLite. Absent: it is not polled from here. */
  readonly systemAFile:
    { readonly path: string; readonly pollIntervalMs: number; readonly scanIntervalMs: number } | undefined;
  /** Absent: system B is not polled from here. */
  readonly systemB: PolledSystem | undefined;
  /** A database whose triggers note changes of employees. Absent: nobody reads them from here. */
  readonly employees:
    | {
        readonly url: Secret;
        readonly pollIntervalMs: number;
        /** Of notes that are published; 0: for ever. */
        readonly notesKeptDays: number;
      }
    | undefined;
  /** URL of system A's database for who may change its customers. Absent: nothing is written back to it from here. */
  readonly writeBackA: Secret | undefined;
  /** System B's API. Absent: nothing is written back to it from here. */
  readonly writeBackB: AskedApi | undefined;
  /** Absent: no tables are kept. */
  readonly postgresUrl: Secret | undefined;
  /** What answered customers before. Absent: nothing did. */
  readonly legacyCustomers: AskedApi | undefined;
  readonly rollout: RolloutSettings;
  /** Absent: nothing is kept in sync from here. */
  readonly sync: SyncSettings | undefined;
}

/** Two databases that are kept in sync. */
export interface SyncSettings {
  readonly legacy: Secret;
  readonly revamp: Secret;
  /** Whether this process captures their changes. */
  readonly captures: boolean;
}

export interface RolloutSettings {
  /** Shares that hold until they are changed while everything runs. */
  readonly initial: Readonly<Record<RolloutFlag, number>>;
  /** How long a share is held before it may grow. */
  readonly holdMs: number;
}

/** With a token, if it wants one. */
export interface AskedApi {
  readonly url: string;
  readonly token: Secret | undefined;
}

/** A system that is polled over HTTP. */
export interface PolledSystem extends AskedApi {
  readonly pollIntervalMs: number;
  readonly scanIntervalMs: number;
}

/** Every variable the application reads, in the order of `docs/settings.md`. */
export const variables: readonly Variable[] = [
  { name: 'PORT', initial: '3000' },
  { name: 'HOST', initial: '127.0.0.1' },
  { name: 'DATA_DIR', initial: '.data' },
  { name: 'KAFKA_BROKERS', initial: '' },
  { name: 'KAFKA_REPLICATION_FACTOR', initial: '3' },
  { name: 'KAFKA_SSL', initial: 'false' },
  { name: 'KAFKA_SSL_CA_FILE', initial: '' },
  { name: 'KAFKA_SSL_CERT_FILE', initial: '' },
  { name: 'KAFKA_SSL_KEY_FILE', initial: '' },
  { name: 'KAFKA_SASL_MECHANISM', initial: '' },
  { name: 'KAFKA_SASL_USERNAME', initial: '' },
  { name: 'KAFKA_SASL_PASSWORD', initial: '', isSecret: true },
  { name: 'SCHEMA_FORMAT', initial: '' },
  { name: 'SCHEMA_REGISTRY_URL', initial: '' },
  { name: 'SCHEMA_REGISTRY_USERNAME', initial: '' },
  { name: 'SCHEMA_REGISTRY_PASSWORD', initial: '', isSecret: true },
  { name: 'APPLICATION_ID', initial: '' },
  { name: 'INSTANCE_ID', initial: '' },
  { name: 'ADVERTISED_URL', initial: '' },
  { name: 'PEER_HOSTS', initial: '' },
  { name: 'TOPIC_PREFIX', initial: '' },
  { name: 'TOPOLOGIES', initial: '' },
  { name: 'OTHER_TOPOLOGIES_URL', initial: '' },
  { name: 'PROCESSING_GUARANTEE', initial: 'exactly_once' },
  { name: 'COMMIT_INTERVAL_MS', initial: '100' },
  { name: 'SESSION_TIMEOUT_MS', initial: '45000' },
  { name: 'TRANSACTION_TIMEOUT_MS', initial: '10000' },
  { name: 'STANDBYS', initial: '0' },
  { name: 'STATIC_MEMBERSHIP', initial: 'false' },
  { name: 'SAMPLE_FEED', initial: 'auto' },
  { name: 'LOG_LEVEL', initial: 'info' },
  { name: 'API_TOKEN', initial: '', isSecret: true },
  { name: 'ADMIN_TOKEN', initial: '', isSecret: true },
  { name: 'ALLOW_INSECURE', initial: 'false' },
  { name: 'RATE_LIMIT_PER_SECOND', initial: '500' },
  { name: 'BACKLOG_MAX', initial: '10000' },
  { name: 'PAYOUT_URL', initial: '' },
  { name: 'PAYOUT_TOKEN', initial: '', isSecret: true },
  { name: 'SYSTEM_A_DATABASE_URL', initial: '', isSecret: true },
  { name: 'SYSTEM_A_SQLITE_FILE', initial: '' },
  { name: 'POLL_INTERVAL_MS_A', initial: '5000' },
  { name: 'SCAN_INTERVAL_MS_A', initial: '300000' },
  { name: 'SYSTEM_B_URL', initial: '' },
  { name: 'SYSTEM_B_TOKEN', initial: '', isSecret: true },
  { name: 'POLL_INTERVAL_MS_B', initial: '300000' },
  { name: 'SCAN_INTERVAL_MS_B', initial: '3600000' },
  { name: 'EMPLOYEES_DATABASE_URL', initial: '', isSecret: true },
  { name: 'POLL_INTERVAL_MS_EMPLOYEES', initial: '5000' },
  { name: 'EMPLOYEES_NOTES_KEPT_DAYS', initial: '0' },
  { name: 'POSTGRES_URL', initial: '', isSecret: true },
  { name: 'LEGACY_CUSTOMERS_URL', initial: '' },
  { name: 'LEGACY_CUSTOMERS_TOKEN', initial: '', isSecret: true },
  { name: 'USE_MATERIALIZED_VIEW', initial: 'true' },
  { name: 'NEW_SYSTEM_PERCENT', initial: '0' },
  { name: 'ROLLOUT_HOLD_MS', initial: '3600000' },
  { name: 'WRITE_BACK_A_DATABASE_URL', initial: '', isSecret: true },
  { name: 'WRITE_BACK_B_URL', initial: '' },
  { name: 'WRITE_BACK_B_TOKEN', initial: '', isSecret: true },
  { name: 'LEGACY_DATABASE_URL', initial: '', isSecret: true },
  { name: 'REVAMP_DATABASE_URL', initial: '', isSecret: true },
  { name: 'SYNC_CAPTURE', initial: 'embedded' },
];

export interface SettingsSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Names that `TOPOLOGIES` may hold; all of them run by default, but those that have to be asked for. */
  readonly topologies: readonly string[];
  readonly onRequest?: readonly string[];
  /** Reads a file that a variable names. */
  readonly readFile?: (path: string) => string;
}

/** Reads and checks everything. Throws one `CONFIG_INVALID` that lists every problem, each beginning with the name of its variable. */
export function readSettings(sources: SettingsSources): Settings {
  const reader = new SettingsReader({ ...sources, variables });
  const settings: Settings = {
    port: reader.integer('PORT', { min: 0, max: 65_535 }),
    host: reader.host(),
    dataDir: reader.required('DATA_DIR'),
    kafka: readKafka(reader),
    schemaRegistry: readSchemaRegistry(reader),
    applicationId: reader.name('APPLICATION_ID', 150),
    instanceId: reader.name('INSTANCE_ID', 100),
    advertisedUrl: reader.url('ADVERTISED_URL'),
    peerHosts: reader.list(
      'PEER_HOSTS',
      /^(\.?[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)*|[0-9a-fA-F:.]+(\/\d{1,3})?)$/,
      'host names, `.suffixes`, addresses or address ranges',
    ),
    topicPrefix: reader.name('TOPIC_PREFIX', 100) ?? '',
    topologies: chosenTopologies(reader, sources),
    otherTopologiesUrl: reader.url('OTHER_TOPOLOGIES_URL'),
    guarantee: reader.choice('PROCESSING_GUARANTEE', ['exactly_once', 'at_least_once']),
    commitIntervalMs: reader.integer('COMMIT_INTERVAL_MS', { min: 1, max: 60_000 }),
    sessionTimeoutMs: reader.integer('SESSION_TIMEOUT_MS', { min: 1_000, max: 1_800_000 }),
    transactionTimeoutMs: reader.integer('TRANSACTION_TIMEOUT_MS', { min: 1_000, max: 900_000 }),
    standbys: reader.integer('STANDBYS', { min: 0, max: 10 }),
    staticMembership: reader.boolean('STATIC_MEMBERSHIP'),
    sampleFeed: reader.choice('SAMPLE_FEED', ['auto', 'true', 'false']),
    logLevel: reader.choice('LOG_LEVEL', ['debug', 'info', 'warn', 'error']),
    apiToken: reader.token('API_TOKEN'),
    adminToken: reader.token('ADMIN_TOKEN'),
    allowInsecure: reader.boolean('ALLOW_INSECURE'),
    rateLimitPerSecond: reader.integer('RATE_LIMIT_PER_SECOND', { min: 0, max: 1_000_000 }),
    backlogMax: reader.integer('BACKLOG_MAX', { min: 0, max: 100_000_000 }),
    payouts: readApi(reader, 'PAYOUT'),
    systemA: reader.databaseUrl('SYSTEM_A_DATABASE_URL'),
    systemAFile: readSystemAFile(reader),
    systemB: readSystemB(reader),
    employees: readEmployees(reader),
    postgresUrl: reader.databaseUrl('POSTGRES_URL'),
    legacyCustomers: readApi(reader, 'LEGACY_CUSTOMERS'),
    rollout: readRollout(reader),
    writeBackA: reader.databaseUrl('WRITE_BACK_A_DATABASE_URL'),
    writeBackB: readApi(reader, 'WRITE_BACK_B'),
    sync: readSync(reader),
  };
  checkTogether(settings, reader);
  reader.finish();
  return settings;
}

function chosenTopologies(reader: SettingsReader, { topologies, onRequest = [] }: SettingsSources): readonly string[] {
  return reader.text('TOPOLOGIES') === undefined
    ? topologies.filter((name) => !onRequest.includes(name))
    : reader.choices('TOPOLOGIES', topologies);
}

function readKafka(reader: SettingsReader): KafkaSettings | undefined {
  const brokers = reader.list(
    'KAFKA_BROKERS',
    /^(\[[0-9a-fA-F:]+\]|[a-zA-Z0-9._-]+):\d{1,5}$/,
    'host:port pairs, separated by commas',
  );
  const replicationFactor = reader.integer('KAFKA_REPLICATION_FACTOR', { min: 1, max: 100 });
  const tls = readTls(reader);
  const sasl = readSasl(reader);
  if (brokers.length > 0) return { brokers, replicationFactor, tls, sasl };
  if (tls !== undefined) reader.refuse('KAFKA_SSL', 'is set, but KAFKA_BROKERS is not');
  if (sasl !== undefined) reader.refuse('KAFKA_SASL_MECHANISM', 'is set, but KAFKA_BROKERS is not');
  return undefined;
}

function readTls(reader: SettingsReader): TlsSettings | undefined {
  const isOn = reader.boolean('KAFKA_SSL');
  const files = ['KAFKA_SSL_CA_FILE', 'KAFKA_SSL_CERT_FILE', 'KAFKA_SSL_KEY_FILE'] as const;
  if (!isOn) {
    for (const name of files)
      if (reader.text(name) !== undefined) reader.refuse(name, 'is set, but KAFKA_SSL is not true');
    return undefined;
  }
  const [ca, cert, key] = files.map((name) => reader.file(name));
  if ((cert === undefined) !== (key === undefined))
    reader.refuse('KAFKA_SSL_CERT_FILE', 'and KAFKA_SSL_KEY_FILE go together');
  return { ca, cert, key: key === undefined ? undefined : secret(key) };
}

function readSasl(reader: SettingsReader): SaslSettings | undefined {
  const username = reader.text('KAFKA_SASL_USERNAME');
  const password = reader.secret('KAFKA_SASL_PASSWORD');
  if (reader.text('KAFKA_SASL_MECHANISM') === undefined) {
    if (username !== undefined) reader.refuse('KAFKA_SASL_USERNAME', 'is set, but KAFKA_SASL_MECHANISM is not');
    if (password !== undefined) reader.refuse('KAFKA_SASL_PASSWORD', 'is set, but KAFKA_SASL_MECHANISM is not');
    return undefined;
  }
  const mechanism = reader.choice('KAFKA_SASL_MECHANISM', ['plain', 'scram-sha-256', 'scram-sha-512']);
  if (username === undefined) reader.refuse('KAFKA_SASL_USERNAME', 'is required with KAFKA_SASL_MECHANISM');
  if (password === undefined) reader.refuse('KAFKA_SASL_PASSWORD', 'is required with KAFKA_SASL_MECHANISM');
  return username === undefined || password === undefined ? undefined : { mechanism, username, password };
}

function readSchemaRegistry(reader: SettingsReader): SchemaRegistrySettings | undefined {
  const url = reader.endpoint('SCHEMA_REGISTRY_URL');
  const auth = readRegistryLogin(reader);
  if (auth !== undefined && url === undefined)
    reader.refuse('SCHEMA_REGISTRY_USERNAME', 'is set, but SCHEMA_REGISTRY_URL is not');
  const isEmbedded = reader.text('KAFKA_BROKERS') === undefined;
  const isAvro = wantsAvro(reader) ?? (isEmbedded || url !== undefined);
  if (!isAvro) {
    if (url !== undefined) reader.refuse('SCHEMA_REGISTRY_URL', 'is set, but SCHEMA_FORMAT is json');
    return undefined;
  }
  if (url === undefined && !isEmbedded)
    reader.refuse('SCHEMA_REGISTRY_URL', 'is required with SCHEMA_FORMAT=avro on Kafka');
  return { url, auth };
}

function wantsAvro(reader: SettingsReader): boolean | undefined {
  if (reader.text('SCHEMA_FORMAT') === undefined) return undefined;
  return reader.choice('SCHEMA_FORMAT', ['avro', 'json']) === 'avro';
}

function readRegistryLogin(reader: SettingsReader): SchemaRegistrySettings['auth'] {
  const username = reader.text('SCHEMA_REGISTRY_USERNAME');
  const password = reader.secret('SCHEMA_REGISTRY_PASSWORD');
  if (username !== undefined && password !== undefined) return { username, password };
  if (username !== undefined || password !== undefined)
    reader.refuse('SCHEMA_REGISTRY_USERNAME', 'and SCHEMA_REGISTRY_PASSWORD go together');
  return undefined;
}

function readSystemAFile(reader: SettingsReader): Settings['systemAFile'] {
  const path = reader.text('SYSTEM_A_SQLITE_FILE');
  const pollIntervalMs = reader.integer('POLL_INTERVAL_MS_A', { min: 100, max: 86_400_000 });
  const scanIntervalMs = reader.integer('SCAN_INTERVAL_MS_A', { min: 1_000, max: 604_800_000 });
  return path === undefined ? undefined : { path, pollIntervalMs, scanIntervalMs };
}

function readSystemB(reader: SettingsReader): PolledSystem | undefined {
  const api = readApi(reader, 'SYSTEM_B');
  const pollIntervalMs = reader.integer('POLL_INTERVAL_MS_B', { min: 100, max: 86_400_000 });
  const scanIntervalMs = reader.integer('SCAN_INTERVAL_MS_B', { min: 1_000, max: 604_800_000 });
  return api === undefined ? undefined : { ...api, pollIntervalMs, scanIntervalMs };
}

function readEmployees(reader: SettingsReader): Settings['employees'] {
  const url = reader.databaseUrl('EMPLOYEES_DATABASE_URL');
  const pollIntervalMs = reader.integer('POLL_INTERVAL_MS_EMPLOYEES', { min: 100, max: 86_400_000 });
  const notesKeptDays = reader.integer('EMPLOYEES_NOTES_KEPT_DAYS', { min: 0, max: 3_650 });
  return url === undefined ? undefined : { url, pollIntervalMs, notesKeptDays };
}

function readApi(reader: SettingsReader, name: string): AskedApi | undefined {
  const url = reader.endpoint(`${name}_URL`);
  const token = reader.secret(`${name}_TOKEN`);
  if (url !== undefined) return { url, token };
  if (token !== undefined) reader.refuse(`${name}_TOKEN`, `is set, but ${name}_URL is not`);
  return undefined;
}

function readRollout(reader: SettingsReader): RolloutSettings {
  return {
    initial: {
      'use-materialized-view': reader.boolean('USE_MATERIALIZED_VIEW') ? 100 : 0,
      'shadow-customers': 0,
      'new-system': reader.integer('NEW_SYSTEM_PERCENT', { min: 0, max: 100 }),
      'write-back-a': 0,
      'write-back-b': 0,
    },
    holdMs: reader.integer('ROLLOUT_HOLD_MS', { min: 0, max: 604_800_000 }),
  };
}

function readSync(reader: SettingsReader): SyncSettings | undefined {
  const legacy = reader.databaseUrl('LEGACY_DATABASE_URL');
  const revamp = reader.databaseUrl('REVAMP_DATABASE_URL');
  const captures = reader.choice('SYNC_CAPTURE', ['embedded', 'none']) === 'embedded';
  if (legacy?.reveal() === revamp?.reveal() && legacy !== undefined)
    reader.refuse('REVAMP_DATABASE_URL', 'must name another database than LEGACY_DATABASE_URL');
  if (legacy !== undefined && revamp !== undefined) return { legacy, revamp, captures };
  if (legacy !== undefined || revamp !== undefined)
    reader.refuse('LEGACY_DATABASE_URL', 'and REVAMP_DATABASE_URL go together');
  return undefined;
}

function checkTogether(settings: Settings, reader: SettingsReader): void {
  if (!isLoopback(settings.host) && settings.apiToken === undefined && !settings.allowInsecure)
    reader.refuse('HOST', 'is not a loopback address: set API_TOKEN, or ALLOW_INSECURE=true to serve everybody');
  if (settings.systemA !== undefined && settings.systemAFile !== undefined)
    reader.refuse('SYSTEM_A_SQLITE_FILE', 'and SYSTEM_A_DATABASE_URL exclude each other');
  // What commits must be able to end before the log aborts it.
  if (settings.guarantee === 'exactly_once' && settings.transactionTimeoutMs <= settings.commitIntervalMs)
    reader.refuse('TRANSACTION_TIMEOUT_MS', 'must be above COMMIT_INTERVAL_MS');
}

/** The settings in force, by variable, for the log and for people; credentials as `***`. */
export function describeSettings(env: Readonly<Record<string, string | undefined>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    variables.map(({ name, initial, isSecret }) => {
      const isSet = env[name] !== undefined || env[`${name}_FILE`] !== undefined;
      return [name, isSecret === true ? (isSet ? '***' : '') : (env[name] ?? initial)];
    }),
  );
}
