/** The settings of the application: read from the environment once, at start, and refused with the name of the variable when they make no sense. */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { isLoopback } from './api/access.ts';
import type { LogLevel } from './clock.ts';
import { StreamError } from './errors.ts';

/** A credential: shows as `***` wherever it is printed, logged or turned into JSON. */
export interface Secret {
  reveal(): string;
  toString(): string;
  toJSON(): string;
}

export interface KafkaSettings {
  readonly brokers: readonly string[];
  readonly tls: TlsSettings | undefined;
  readonly sasl: SaslSettings | undefined;
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
  readonly applicationId: string | undefined;
  readonly instanceId: string | undefined;
  readonly advertisedUrl: string | undefined;
  readonly topicPrefix: string;
  readonly topologies: readonly string[];
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
}

/** One environment variable, as read and as documented. */
export interface Variable {
  readonly name: string;
  /** As documented; empty: not set. */
  readonly initial: string;
  /** Also read from the file that `<name>_FILE` names. */
  readonly isSecret?: boolean;
}

/** Every variable the application reads, in the order of `docs/settings.md`. */
export const variables: readonly Variable[] = [
  { name: 'PORT', initial: '3000' },
  { name: 'HOST', initial: '127.0.0.1' },
  { name: 'DATA_DIR', initial: '.data' },
  { name: 'KAFKA_BROKERS', initial: '' },
  { name: 'KAFKA_SSL', initial: 'false' },
  { name: 'KAFKA_SSL_CA_FILE', initial: '' },
  { name: 'KAFKA_SSL_CERT_FILE', initial: '' },
  { name: 'KAFKA_SSL_KEY_FILE', initial: '' },
  { name: 'KAFKA_SASL_MECHANISM', initial: '' },
  { name: 'KAFKA_SASL_USERNAME', initial: '' },
  { name: 'KAFKA_SASL_PASSWORD', initial: '', isSecret: true },
  { name: 'APPLICATION_ID', initial: '' },
  { name: 'INSTANCE_ID', initial: '' },
  { name: 'ADVERTISED_URL', initial: '' },
  { name: 'PEER_HOSTS', initial: '' },
  { name: 'TOPIC_PREFIX', initial: '' },
  { name: 'TOPOLOGIES', initial: '' },
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
];

export interface SettingsSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Names that `TOPOLOGIES` may hold; all of them run by default. */
  readonly topologies: readonly string[];
  /** Reads a file that a variable names. */
  readonly readFile?: (path: string) => string;
}

/** Reads and checks everything. Throws one `CONFIG_INVALID` that lists every problem, each beginning with the name of its variable. */
export function readSettings(sources: SettingsSources): Settings {
  const reader = new Reader(sources);
  const settings: Settings = {
    port: reader.integer('PORT', { min: 0, max: 65_535 }),
    host: reader.host(),
    dataDir: reader.required('DATA_DIR'),
    kafka: readKafka(reader),
    applicationId: reader.name('APPLICATION_ID', 150),
    instanceId: reader.name('INSTANCE_ID', 100),
    advertisedUrl: reader.url('ADVERTISED_URL'),
    peerHosts: reader.list(
      'PEER_HOSTS',
      /^(\.?[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)*|[0-9a-fA-F:.]+(\/\d{1,3})?)$/,
      'host names, `.suffixes`, addresses or address ranges',
    ),
    topicPrefix: reader.name('TOPIC_PREFIX', 100) ?? '',
    topologies: reader.choices('TOPOLOGIES', sources.topologies),
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
  };
  checkTogether(settings, reader);
  reader.finish();
  return settings;
}

function readKafka(reader: Reader): KafkaSettings | undefined {
  const brokers = reader.list(
    'KAFKA_BROKERS',
    /^(\[[0-9a-fA-F:]+\]|[a-zA-Z0-9._-]+):\d{1,5}$/,
    'host:port pairs, separated by commas',
  );
  const tls = readTls(reader);
  const sasl = readSasl(reader);
  if (brokers.length > 0) return { brokers, tls, sasl };
  if (tls !== undefined) reader.refuse('KAFKA_SSL', 'is set, but KAFKA_BROKERS is not');
  if (sasl !== undefined) reader.refuse('KAFKA_SASL_MECHANISM', 'is set, but KAFKA_BROKERS is not');
  return undefined;
}

function readTls(reader: Reader): TlsSettings | undefined {
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

function readSasl(reader: Reader): SaslSettings | undefined {
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

function checkTogether(settings: Settings, reader: Reader): void {
  if (!isLoopback(settings.host) && settings.apiToken === undefined && !settings.allowInsecure)
    reader.refuse('HOST', 'is not a loopback address: set API_TOKEN, or ALLOW_INSECURE=true to serve everybody');
  // What commits must be able to end before the log aborts it.
  if (settings.guarantee === 'exactly_once' && settings.transactionTimeoutMs <= settings.commitIntervalMs)
    reader.refuse('TRANSACTION_TIMEOUT_MS', 'must be above COMMIT_INTERVAL_MS');
}

/** Wraps a credential. */
export function secret(value: string): Secret {
  const masked = (): string => '***';
  return Object.freeze({
    reveal: () => value,
    toString: masked,
    toJSON: masked,
    [Symbol.for('nodejs.util.inspect.custom')]: masked,
  });
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

/** Parses variables one by one and collects what is wrong with them. */
class Reader {
  readonly #sources: SettingsSources;
  readonly #problems: string[] = [];

  constructor(sources: SettingsSources) {
    this.#sources = sources;
  }

  refuse(name: string, problem: string): void {
    this.#problems.push(`${name} ${problem}`);
  }

  finish(): void {
    if (this.#problems.length > 0) throw new StreamError('CONFIG_INVALID', this.#problems.join('; '));
  }

  /** The trimmed value, else the initial one, else `undefined`. Set but empty counts as not set. */
  text(name: string): string | undefined {
    const variable = variables.find((candidate) => candidate.name === name);
    if (variable === undefined) throw new Error(`assertion failed: ${name} is not in the table of variables`);
    const value = (this.#sources.env[name] ?? '').trim();
    const chosen = value === '' ? variable.initial : value;
    return chosen === '' ? undefined : chosen;
  }

  required(name: string): string {
    const value = this.text(name);
    if (value === undefined) this.refuse(name, 'is required');
    return value ?? '';
  }

  integer(name: string, bounds: { readonly min: number; readonly max: number }): number {
    const text = this.required(name);
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= bounds.min && value <= bounds.max))
      this.refuse(name, `must be a whole number from ${bounds.min} to ${bounds.max}, not ${quote(text)}`);
    return value;
  }

  boolean(name: string): boolean {
    return this.choice(name, ['true', 'false']) === 'true';
  }

  choice<C extends string>(name: string, choices: readonly [C, ...C[]]): C {
    const text = this.required(name);
    const found = choices.find((choice) => choice === text);
    if (found === undefined) this.refuse(name, `must be one of ${choices.join(', ')}, not ${quote(text)}`);
    return found ?? choices[0];
  }

  /** Several of `choices`, without repetition; all of them when not set. */
  choices(name: string, choices: readonly string[]): readonly string[] {
    const text = this.text(name);
    if (text === undefined) return choices;
    const wanted = [...new Set(splitList(text))];
    const unknown = wanted.filter((item) => !choices.includes(item));
    if (unknown.length > 0 || wanted.length === 0)
      this.refuse(name, `must list some of ${choices.join(', ')}, not ${quote(text)}`);
    return wanted;
  }

  list(name: string, pattern: RegExp, expected: string): readonly string[] {
    const text = this.text(name);
    if (text === undefined) return [];
    const items = splitList(text);
    if (items.length === 0 || items.length > 100 || items.some((item) => item.length > 300 || !pattern.test(item)))
      this.refuse(name, `must be ${expected}, not ${quote(text)}`);
    return items;
  }

  /** Names become parts of topic names and paths. */
  name(name: string, lengthMax: number): string | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    if (!/^[a-zA-Z0-9._-]+$/.test(text) || text.length > lengthMax || text === '.' || text === '..')
      this.refuse(
        name,
        `must consist of at most ${lengthMax} letters, digits, dots, underscores and hyphens, not ${quote(text)}`,
      );
    return text;
  }

  host(): string {
    const text = this.required('HOST');
    if (isIP(text) === 0 && !/^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,252})$/.test(text))
      this.refuse('HOST', `must be an address or a host name, not ${quote(text)}`);
    return text;
  }

  /** An origin without path, query or credentials. */
  url(name: string): string | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const url = URL.canParse(text) ? new URL(text) : undefined;
    const isOrigin = url !== undefined && `${url.origin}/` === url.href;
    if (url?.protocol !== 'http:' || !isOrigin) this.refuse(name, 'must be of the form http://host:port');
    return url?.origin;
  }

  /** The content of the file a variable names. */
  file(name: string): string | undefined {
    const path = this.text(name);
    return path === undefined ? undefined : this.#read(name, path);
  }

  /** From the variable or from the file `<name>_FILE` names. */
  secret(name: string): Secret | undefined {
    const fileName = `${name}_FILE`;
    const { env } = this.#sources;
    if (env[name] !== undefined && env[fileName] !== undefined) this.refuse(name, `and ${fileName} exclude each other`);
    const path = env[fileName];
    const value = path === undefined ? env[name] : this.#read(fileName, path)?.replace(/\r?\n$/, '');
    if (value === '') this.refuse(path === undefined ? name : fileName, 'is empty');
    return value === undefined || value === '' ? undefined : secret(value);
  }

  /** A secret that clients send as a bearer token. */
  token(name: string): Secret | undefined {
    const value = this.secret(name);
    if (value !== undefined && !/^[\w.~+/=-]{16,512}$/.test(value.reveal()))
      this.refuse(name, 'must be 16 to 512 characters of letters, digits and -._~+/=');
    return value;
  }

  #read(name: string, path: string): string | undefined {
    try {
      return (this.#sources.readFile ?? readText)(path);
    } catch (cause) {
      const code = (cause as { code?: unknown }).code;
      this.refuse(name, `names a file that cannot be read${typeof code === 'string' ? ` (${code})` : ''}`);
      return undefined;
    }
  }
}

function readText(path: string): string {
  return readFileSync(path, 'utf8');
}

function splitList(text: string): readonly string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}
