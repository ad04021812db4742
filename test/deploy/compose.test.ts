import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { applications } from '../../program/applications.ts';
import { readSettings, variables } from '../../program/settings.ts';
import { shippedConnector } from '../support/connect/shipped-connectors.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const fileOf = (path: string): string => readFileSync(`${root}${path}`, 'utf8');

/** That measures something. */
const code = sourcesUnder(['api', 'connectors', 'program', 'topology']);

interface Service {
  readonly image?: string;
  readonly environment?: Readonly<Record<string, string | number>>;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: object;
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly profiles?: readonly string[];
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, null>>;
}

const compose = parse(fileOf('docker-compose.yml'), { merge: true }) as Compose;
const services = Object.entries(compose.services);
const environmentOf = (name: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(compose.services[name]?.environment ?? {}).map(([key, value]) => [key, String(value)]),
  );

describe('docker-compose.yml', () => {
  test('has the whole stack', () => {
    expect(Object.keys(compose.services).sort()).toEqual([
      'app-1',
      'app-2',
      'connect',
      'connect-setup',
      'grafana',
      'kafka',
      'kafka-ui',
      'postgres',
      'prometheus',
      'registry',
      'system-a-db',
    ]);
  });

  test.each(services)(
    '%s waits only for what is started with it, and for health only where there is a check',
    (_, service) => {
      for (const [name, { condition }] of Object.entries(service.depends_on ?? {})) {
        const other = compose.services[name];
        expect(other).toBeDefined();
        for (const profile of other?.profiles ?? []) expect(service.profiles).toContain(profile);
        if (condition === 'service_healthy') expect(other?.healthcheck).toBeDefined();
      }
    },
  );

  test.each(services)('%s mounts files that are here and volumes that are declared', (_, { volumes = [] }) => {
    for (const volume of volumes) {
      const [from = ''] = volume.split(':');
      if (from.startsWith('./')) expect([from, existsSync(`${root}${from}`)]).toEqual([from, true]);
      else expect(Object.keys(compose.volumes)).toContain(from);
    }
  });

  test.each(services)('%s is reached from this machine only', (_, { ports = [] }) => {
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
  });

  test.each(services)('%s has a pinned image, or is built here', (_, { image }) => {
    expect(image).toMatch(/^(rivulet|.+:v?\d[\w.]*)$/);
  });

  test.each(['app-1', 'app-2'])('%s is set up with settings that exist and go together', (name) => {
    const env = environmentOf(name);
    const known = variables.map((variable) => variable.name);
    for (const variable of Object.keys(env)) expect(known).toContain(variable);
    const settings = readSettings({ env, topologies: applications.map((application) => application.name) });
    expect(settings.kafka?.brokers).toEqual(['kafka:9092']);
    const url = new URL(settings.schemaRegistry?.url ?? '');
    expect(compose.services[url.hostname]).toBeDefined();
    expect(environmentOf(url.hostname)['SCHEMA_REGISTRY_LISTENERS']).toBe(`http://0.0.0.0:${url.port}`);
    const database = new URL(settings.postgresUrl?.reveal() ?? '');
    expect(environmentOf(database.hostname)).toMatchObject({
      POSTGRES_USER: database.username,
      POSTGRES_DB: database.pathname.slice(1),
    });
  });

  test('captures its system A with the connector that is shipped and tested', () => {
    const { config } = shippedConnector('system-a-cdc');
    const database = config['database.hostname'] ?? '';
    expect(environmentOf(database)['POSTGRES_DB']).toBe(config['database.dbname']);
    expect(compose.services['connect-setup']?.volumes).toEqual([
      './connectors/system-a-cdc.json:/system-a-cdc.json:ro',
    ]);
    const secret = /^\$\{env:(\w+)\}$/.exec(config['database.password'] ?? '')?.[1] ?? '';
    expect(environmentOf('connect')[secret]).toBeDefined();
    expect(environmentOf('connect')[secret]).toBe(environmentOf(database)[secret]);
    expect(environmentOf('connect')).toMatchObject({
      CONNECT_CONFIG_PROVIDERS: 'env',
      BOOTSTRAP_SERVERS: 'kafka:9092',
    });
    expect(fileOf('deploy/system-a/customers.sql')).toContain(`CREATE TABLE ${config['table.include.list'] ?? '?'} (`);
  });
});

describe('monitoring', () => {
  test('Prometheus asks the instances', () => {
    const { scrape_configs: scraped } = parse(fileOf('deploy/prometheus/prometheus.yml')) as {
      readonly scrape_configs: readonly {
        readonly static_configs: readonly { readonly targets: readonly string[] }[];
      }[];
    };
    const targets = scraped.flatMap(({ static_configs: groups }) => groups.flatMap((group) => group.targets));
    for (const target of targets) expect(Object.keys(compose.services)).toContain(target.split(':')[0]);
    expect(targets).toHaveLength(2);
  });

  test('dashboards show metrics that there are, from the data source that is provisioned', () => {
    const { datasources } = parse(fileOf('deploy/grafana/datasource.yml')) as {
      readonly datasources: readonly { readonly uid: string }[];
    };
    const { panels } = JSON.parse(fileOf('deploy/grafana/dashboards/pipeline.json')) as {
      readonly panels: readonly {
        readonly datasource: { readonly uid: string };
        readonly targets: readonly { readonly expr: string }[];
      }[];
    };
    for (const { datasource, targets } of panels) {
      expect(datasource.uid).toBe(datasources[0]?.uid);
      expect(targets.flatMap(({ expr }) => unknownMetrics(expr))).toEqual([]);
    }
  });

  test('alerts are about metrics that there are', () => {
    const { groups } = parse(fileOf('deploy/prometheus/alerts.yml')) as {
      readonly groups: readonly { readonly rules: readonly { readonly alert: string; readonly expr: string }[] }[];
    };
    const rules = groups.flatMap((group) => group.rules);
    expect(rules.flatMap(({ expr }) => unknownMetrics(expr))).toEqual([]);
    const tested = fileOf('deploy/prometheus/alerts.test.yml');
    for (const { alert } of rules) expect([alert, tested.includes(`alertname: ${alert}\n`)]).toEqual([alert, true]);
  });
});

/** Those of an expression that no code tells of. */
function unknownMetrics(expression: string): readonly string[] {
  const metrics = expression.match(/\b(?:rivulet|kafka|connector|sink|mv|sync|write_back|saga|billing)_\w+/g) ?? [];
  expect(metrics).not.toEqual([]);
  return metrics.filter((metric) => !code.includes(`'${metric.replace(/_bucket$/, '')}'`));
}

function sourcesUnder(folders: readonly string[]): string {
  const files = folders.flatMap((folder) =>
    readdirSync(`${root}${folder}`, { recursive: true, encoding: 'utf8' }).map((path) => `${folder}/${path}`),
  );
  return files
    .filter((path) => path.endsWith('.ts'))
    .map(fileOf)
    .join('\n');
}
