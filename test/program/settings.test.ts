import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import { StreamError } from '../../errors.ts';
import { isLoopback } from '../../api/access.ts';
import { describeSettings, readSettings, variables, type Settings } from '../../program/settings.ts';

type Env = Readonly<Record<string, string>>;

const files: Readonly<Record<string, string>> = {
  '/secret': 'canary-canary-canary\n',
  '/empty': '',
  '/ca': 'CA',
  '/cert': 'CERT',
  '/key': 'canary-key',
};

function read(env: Env): Settings {
  return readSettings({
    env,
    topologies: ['customer-merge', 'customer-view'],
    readFile: (path) => {
      const text = files[path];
      if (text === undefined) throw Object.assign(new Error(`no ${path}`), { code: 'ENOENT' });
      return text;
    },
  });
}

function problemOf(env: Env): string {
  try {
    read(env);
  } catch (error) {
    if (error instanceof StreamError && error.code === 'CONFIG_INVALID') return error.message;
    throw error;
  }
  return '';
}

describe('settings', () => {
  test('without any variable the application runs alone, on loopback, on the embedded log', () => {
    expect(read({})).toEqual({
      port: 3000,
      host: '127.0.0.1',
      dataDir: '.data',
      schemaRegistry: { url: undefined, auth: undefined },
      kafka: undefined,
      applicationId: undefined,
      instanceId: undefined,
      advertisedUrl: undefined,
      peerHosts: [],
      topicPrefix: '',
      topologies: ['customer-merge', 'customer-view'],
      otherTopologiesUrl: undefined,
      guarantee: 'exactly_once',
      commitIntervalMs: 100,
      sessionTimeoutMs: 45_000,
      transactionTimeoutMs: 10_000,
      standbys: 0,
      staticMembership: false,
      sampleFeed: 'auto',
      logLevel: 'info',
      apiToken: undefined,
      adminToken: undefined,
      allowInsecure: false,
      rateLimitPerSecond: 500,
      backlogMax: 10_000,
      sync: undefined,
      legacyCustomers: undefined,
      rollout: {
        initial: {
          'use-materialized-view': 100,
          'shadow-customers': 0,
          'new-system': 0,
          'write-back-a': 0,
          'write-back-b': 0,
        },
        holdMs: 3_600_000,
      },
      writeBackA: undefined,
      writeBackB: undefined,
      systemA: undefined,
      systemB: undefined,
      postgresUrl: undefined,
    });
  });

  test('what runs only where it is named does not run by default', () => {
    const given = { topologies: ['customer-merge', 'legacy-sync'], onRequest: ['legacy-sync'] };
    expect(readSettings({ ...given, env: {} }).topologies).toEqual(['customer-merge']);
    expect(readSettings({ ...given, env: { TOPOLOGIES: 'legacy-sync' } }).topologies).toEqual(['legacy-sync']);
  });

  test('system A is a database or a file, not both', () => {
    const file = { SYSTEM_A_SQLITE_FILE: 'customers.db' };
    const expected = { path: 'customers.db', pollIntervalMs: 5_000, scanIntervalMs: 300_000 };
    expect(read(file).systemAFile).toEqual(expected);
    const both = { ...file, SYSTEM_A_DATABASE_URL: 'postgresql://app:canary@db:5432/a' };
    expect(problemOf(both)).toContain('SYSTEM_A_SQLITE_FILE and SYSTEM_A_DATABASE_URL exclude each other');
  });

  test('two databases that are kept in sync are two, and are never shown', () => {
    const url = (name: string): string => `postgresql://app:canary@db:5432/${name}`;
    const { sync } = read({ LEGACY_DATABASE_URL: url('old'), REVAMP_DATABASE_URL: url('new'), SYNC_CAPTURE: 'none' });
    expect([sync?.legacy.reveal(), sync?.revamp.reveal(), sync?.captures]).toEqual([url('old'), url('new'), false]);
    expect(JSON.stringify(sync)).not.toContain('canary');
    expect(problemOf({ LEGACY_DATABASE_URL: url('old') })).toContain('go together');
    expect(problemOf({ LEGACY_DATABASE_URL: url('old'), REVAMP_DATABASE_URL: url('old') })).toContain(
      'another database',
    );
  });

  test.each([
    ['on the embedded log its own registry', {}, { url: undefined, auth: undefined }],
    ['JSON, if it is wanted', { SCHEMA_FORMAT: 'json' }, undefined],
    ['JSON on Kafka', { KAFKA_BROKERS: 'a:9092' }, undefined],
    [
      'a registry that is named',
      { KAFKA_BROKERS: 'a:9092', SCHEMA_REGISTRY_URL: 'http://r:8080/apis/ccompat/v7' },
      { url: 'http://r:8080/apis/ccompat/v7', auth: undefined },
    ],
  ])('of schemas: %s', (_, env, expected) => {
    expect(read(env).schemaRegistry).toEqual(expected);
  });

  test('credentials of a registry, which are never shown', () => {
    const { schemaRegistry } = read({
      SCHEMA_REGISTRY_URL: 'https://r:8081',
      SCHEMA_REGISTRY_USERNAME: 'app',
      SCHEMA_REGISTRY_PASSWORD: 'canary',
    });
    expect(schemaRegistry?.auth?.password.reveal()).toBe('canary');
    expect(JSON.stringify(schemaRegistry)).not.toContain('canary');
  });

  test.each([
    [{ KAFKA_BROKERS: 'a:9092', SCHEMA_FORMAT: 'avro' }, 'SCHEMA_REGISTRY_URL is required'],
    [{ SCHEMA_FORMAT: 'json', SCHEMA_REGISTRY_URL: 'http://r:8081' }, 'SCHEMA_REGISTRY_URL is set, but SCHEMA_FORMAT'],
    [{ SCHEMA_FORMAT: 'protobuf' }, 'SCHEMA_FORMAT must be one of'],
    [{ SCHEMA_REGISTRY_URL: 'http://app:secret@r:8081' }, 'SCHEMA_REGISTRY_URL must be of the form'],
    [{ SCHEMA_REGISTRY_URL: 'http://r:8081', SCHEMA_REGISTRY_USERNAME: 'app' }, 'SCHEMA_REGISTRY_USERNAME and'],
    [
      { SCHEMA_REGISTRY_USERNAME: 'app', SCHEMA_REGISTRY_PASSWORD: 'canary' },
      'SCHEMA_REGISTRY_USERNAME is set, but SCHEMA_REGISTRY_URL is not',
    ],
  ])('of schemas that make no sense are refused: %j', (env, problem) => {
    expect(problemOf(env)).toContain(problem);
  });

  test('Kafka with TLS and SASL', () => {
    const { kafka } = read({
      KAFKA_BROKERS: 'a:9092, [::1]:9093',
      KAFKA_SSL: 'true',
      KAFKA_SSL_CA_FILE: '/ca',
      KAFKA_SSL_CERT_FILE: '/cert',
      KAFKA_SSL_KEY_FILE: '/key',
      KAFKA_SASL_MECHANISM: 'scram-sha-512',
      KAFKA_SASL_USERNAME: 'app',
      KAFKA_SASL_PASSWORD_FILE: '/secret',
    });
    expect(kafka?.brokers).toEqual(['a:9092', '[::1]:9093']);
    expect(kafka?.tls?.ca).toBe('CA');
    expect(kafka?.tls?.key?.reveal()).toBe('canary-key');
    expect(kafka?.sasl?.password.reveal()).toBe('canary-canary-canary');
  });

  test.each<readonly [string, Env]>([
    ['PORT', { PORT: '65536' }],
    ['PORT', { PORT: '1e3' }],
    ['PORT', { PORT: '-1' }],
    ['HOST', { HOST: 'a b' }],
    ['HOST', { HOST: '0.0.0.0' }],
    ['HOST', { HOST: '::', ADMIN_TOKEN: 'admin-admin-admin' }],
    ['KAFKA_BROKERS', { KAFKA_BROKERS: 'localhost' }],
    ['KAFKA_BROKERS', { KAFKA_BROKERS: 'kafka://a:1' }],
    ['KAFKA_SSL', { KAFKA_SSL: 'yes', KAFKA_BROKERS: 'a:1' }],
    ['KAFKA_SSL', { KAFKA_SSL: 'true' }],
    ['KAFKA_SSL_CA_FILE', { KAFKA_SSL_CA_FILE: '/ca', KAFKA_BROKERS: 'a:1' }],
    ['KAFKA_SSL_CA_FILE', { KAFKA_SSL: 'true', KAFKA_SSL_CA_FILE: '/none', KAFKA_BROKERS: 'a:1' }],
    ['KAFKA_SSL_CERT_FILE', { KAFKA_SSL: 'true', KAFKA_SSL_CERT_FILE: '/cert', KAFKA_BROKERS: 'a:1' }],
    ['KAFKA_SASL_MECHANISM', { KAFKA_SASL_MECHANISM: 'gssapi', KAFKA_BROKERS: 'a:1' }],
    ['KAFKA_SASL_USERNAME', { KAFKA_SASL_MECHANISM: 'plain', KAFKA_SASL_PASSWORD: 'p', KAFKA_BROKERS: 'a:1' }],
    ['KAFKA_SASL_PASSWORD', { KAFKA_SASL_MECHANISM: 'plain', KAFKA_SASL_USERNAME: 'u', KAFKA_BROKERS: 'a:1' }],
    ['KAFKA_SASL_PASSWORD', { KAFKA_SASL_PASSWORD: 'canary' }],
    ['APPLICATION_ID', { APPLICATION_ID: '../x' }],
    ['APPLICATION_ID', { APPLICATION_ID: 'a/b' }],
    ['INSTANCE_ID', { INSTANCE_ID: '..' }],
    ['INSTANCE_ID', { INSTANCE_ID: 'x'.repeat(101) }],
    ['TOPIC_PREFIX', { TOPIC_PREFIX: 'ä' }],
    ['ADVERTISED_URL', { ADVERTISED_URL: 'https://a:1' }],
    ['ADVERTISED_URL', { ADVERTISED_URL: 'http://u:p@a:1' }],
    ['ADVERTISED_URL', { ADVERTISED_URL: 'http://a:1/x' }],
    ['PEER_HOSTS', { PEER_HOSTS: 'a,b c' }],
    ['PEER_HOSTS', { PEER_HOSTS: 'http://a' }],
    ['TOPOLOGIES', { TOPOLOGIES: 'customer-merge,billing' }],
    ['TOPOLOGIES', { TOPOLOGIES: ',' }],
    ['PROCESSING_GUARANTEE', { PROCESSING_GUARANTEE: 'exactly-once' }],
    ['COMMIT_INTERVAL_MS', { COMMIT_INTERVAL_MS: '0' }],
    ['SESSION_TIMEOUT_MS', { SESSION_TIMEOUT_MS: '10' }],
    ['TRANSACTION_TIMEOUT_MS', { TRANSACTION_TIMEOUT_MS: '1000', COMMIT_INTERVAL_MS: '1000' }],
    ['STANDBYS', { STANDBYS: '11' }],
    ['STATIC_MEMBERSHIP', { STATIC_MEMBERSHIP: 'yes' }],
    ['SAMPLE_FEED', { SAMPLE_FEED: 'on' }],
    ['LOG_LEVEL', { LOG_LEVEL: 'trace' }],
    ['API_TOKEN', { API_TOKEN: 'short-canary' }],
    ['POSTGRES_URL', { POSTGRES_URL: 'mysql://u:canary@h/d' }],
    ['SYSTEM_B_TOKEN', { SYSTEM_B_TOKEN: 'canary' }],
    ['SYSTEM_B_URL', { SYSTEM_B_URL: 'http://user:canary@b/api' }],
    ['API_TOKEN', { API_TOKEN: '' }],
    ['API_TOKEN_FILE', { API_TOKEN_FILE: '/empty' }],
    ['API_TOKEN_FILE', { API_TOKEN_FILE: '/none' }],
    ['API_TOKEN', { API_TOKEN: 'x'.repeat(20), API_TOKEN_FILE: '/secret' }],
    ['ADMIN_TOKEN', { ADMIN_TOKEN: 'with space with space' }],
    ['ALLOW_INSECURE', { ALLOW_INSECURE: '1' }],
    ['RATE_LIMIT_PER_SECOND', { RATE_LIMIT_PER_SECOND: '0x10' }],
  ])('a wrong %s is refused by name: %j', (name, env) => {
    const problem = problemOf(env);
    expect(problem).toMatch(new RegExp(`^${name} `));
    expect(problem).not.toContain('canary');
  });

  test('all problems are reported at once', () => {
    expect(problemOf({ PORT: 'x', LOG_LEVEL: 'y' })).toMatch(/^PORT .*; LOG_LEVEL /);
  });

  test('an empty variable counts as not set', () => {
    expect(read({ PORT: '', KAFKA_BROKERS: ' ' })).toEqual(read({}));
  });

  test('a public address needs a token or an explicit word', () => {
    expect(read({ HOST: '0.0.0.0', API_TOKEN_FILE: '/secret' }).apiToken?.reveal()).toBe('canary-canary-canary');
    expect(read({ HOST: '0.0.0.0', ALLOW_INSECURE: 'true' }).host).toBe('0.0.0.0');
  });

  test.each([
    ['127.0.0.1', true],
    ['127.9.9.9', true],
    ['::1', true],
    ['localhost', true],
    ['0.0.0.0', false],
    ['::', false],
    ['127.evil.example', false],
    ['localhost.evil.example', false],
  ])('%s is a loopback address: %s', (host, expected) => {
    expect(isLoopback(host)).toBe(expected);
  });

  test('credentials never show', () => {
    const env = {
      API_TOKEN: 'canary-canary-canary',
      ADMIN_TOKEN_FILE: '/secret',
      KAFKA_SASL_PASSWORD: 'canary',
      KAFKA_SASL_MECHANISM: 'plain',
      KAFKA_SASL_USERNAME: 'u',
      KAFKA_BROKERS: 'a:1',
    };
    const settings = read(env);
    const shown = [JSON.stringify(settings), inspect(settings, { depth: 9 }), String(settings.apiToken)];
    expect(shown.join('\n')).not.toContain('canary');
    expect(describeSettings(env)).toMatchObject({
      API_TOKEN: '***',
      ADMIN_TOKEN: '***',
      KAFKA_SASL_PASSWORD: '***',
      PORT: '3000',
    });
    expect(JSON.stringify(describeSettings(env))).not.toContain('canary');
  });
});

describe('docs/settings.md', () => {
  const text = readFileSync(fileURLToPath(new URL('../../docs/settings.md', import.meta.url)), 'utf8');
  const rows = [...text.matchAll(/^\| `([A-Z_]+)` *\| +(?:`([^`]*)` *)?\| /gm)].map(([, name, initial]) => [
    name,
    initial ?? '',
  ]);

  test('lists exactly the variables that are read, with their defaults', () => {
    expect(rows).toEqual(variables.map(({ name, initial }) => [name, initial]));
  });

  test('names the file form of every credential', () => {
    for (const { name } of variables.filter(({ isSecret }) => isSecret)) expect(text).toContain(`\`${name}_FILE\``);
  });
});

describe('files with settings', () => {
  const known = variables.flatMap(({ name, isSecret }) => (isSecret === true ? [name, `${name}_FILE`] : [name]));
  const textOf = (path: string): string =>
    readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8');
  const pairsOf = (text: string, pattern: RegExp): readonly (readonly [name: string, value: string])[] =>
    [...text.matchAll(pattern)].map(([, name = '', value = '']) => [name, value]);

  test('.env.example names every variable once, and sets none to something other than its default', () => {
    const text = textOf('.env.example');
    const names = pairsOf(text, /^#?([A-Z][A-Z_]+)=/gm).map(([name]) => name);
    expect(names.filter((name) => !known.includes(name))).toEqual([]);
    expect(variables.filter(({ name }) => !names.some((given) => given === name || given === `${name}_FILE`))).toEqual(
      [],
    );
    expect(new Set(names).size).toBe(names.length);
    for (const [name, value] of pairsOf(text, /^([A-Z][A-Z_]+)=(.*)$/gm))
      expect([name, value]).toEqual([name, variables.find((variable) => variable.name === name)?.initial]);
  });

  test('docker-compose.yml and the Dockerfile give the application settings that it accepts', () => {
    const image = pairsOf(/^ENV .*$/m.exec(textOf('Dockerfile'))?.[0] ?? '', /([A-Z_]+)=(\S+)/g);
    const services = [...textOf('docker-compose.yml').matchAll(/^ {2}app-\d:\n( {4}.*\n)+/gm)].map(
      ([service]) => service,
    );
    expect(services).toHaveLength(2);
    for (const service of services) {
      const entries = [
        ...image.filter(([name]) => name !== 'NODE_ENV'),
        ...pairsOf(service, /^ {6}([A-Z][A-Z_]+): '?([^'\n]*)'?$/gm),
      ];
      expect(entries.map(([name]) => name).filter((name) => !known.includes(name))).toEqual([]);
      const settings = read(Object.fromEntries(entries));
      expect(settings.peerHosts).toContain(new URL(settings.advertisedUrl ?? '').hostname);
    }
  });
});
