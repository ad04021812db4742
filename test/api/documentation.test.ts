import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from '@jest/globals';
import { fixedRollout } from '../../api/app/rollout-port.ts';
import { noBacklog } from '../../api/app/backlog.ts';
import { noRegister } from '../../api/app/request-register.ts';
import { rolloutRoutes } from '../../api/app/rollout-routes.ts';
import { rebuildRoutes } from '../../api/app/rebuild-routes.ts';
import { shadowRoutes } from '../../api/app/shadow-routes.ts';
import { sourceRoutes } from '../../api/app/source-routes.ts';
import { billingApplications } from '../../api/app/billing-application.ts';
import { syncRoutes } from '../../api/app/sync-routes.ts';
import { customerRoutes } from '../../api/app/customer-routes.ts';
import { stewardRoutes } from '../../api/app/steward-routes.ts';
import { routesOf } from '../../program/routes-of.ts';
import { systemClock } from '../../clock.ts';
import { customerStates } from '../../processors/app/customer/processors.ts';
import { defaultPolicy } from '../../schemas/app/customer/policy.ts';
import { customerTopics } from '../../schemas/app/customer/topics.ts';
import { shadowTopics } from '../../schemas/app/shadow.ts';
import { jsonFormat } from '../../schemas/app/record-format.ts';
import { apiOf } from './fake-instance.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const text = readFileSync(`${root}docs/api-http.md`, 'utf8');

interface Operation {
  readonly parameters: readonly { readonly name: string; readonly in: string }[];
  readonly responses: Readonly<Record<string, { readonly description: string }>>;
}

interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

const write = (): Promise<never> => Promise.reject(new Error('nothing is written here'));
const sources = { health: () => [], noteDegraded: () => undefined };
const about = { states: customerStates, policy: defaultPolicy };
const api = apiOf([], {
  routes: [
    customerRoutes(about),
    stewardRoutes({ ...about, decisions: customerTopics().decisions, write, clock: systemClock }),
    sourceRoutes(sources),
    shadowRoutes({ topics: shadowTopics(), write, clock: systemClock, log: undefined, deadLetterTopics: [] }),
    rolloutRoutes({ rollout: fixedRollout, clock: systemClock, topologies: [], instancesOf: () => [] }),
    syncRoutes,
    rebuildRoutes({ projections: [], log: undefined, instances: [] }),
    ...routesOf(billingApplications(systemClock), {
      topicPrefix: '',
      format: jsonFormat,
      write,
      register: noRegister,
      backlog: noBacklog,
      sources,
    }).here,
  ],
});
afterAll(() => api.close());

const described = await api.inject('/openapi.json');
const operations = new Map(
  Object.entries(described.json<OpenApi>().paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => [`${method.toUpperCase()} ${path}`, operation]),
  ),
);

/** `GET /path` -> the text of its section. */
const sections = new Map(
  [...text.matchAll(/^### ((?:GET|POST|PUT|PATCH|DELETE) \S+)\n([^]*?)(?=^##|$(?![^]))/gm)].map(
    ([, route = '', section = '']) => [route, section],
  ),
);

const problemTable = new Map(
  [...text.matchAll(/^\| `([a-z_]+)` +\| (\d{3}) +\|/gm)].map(([, code = '', status = '']) => [code, status]),
);

function problemsOf(section: string): readonly string[] {
  const [paragraph = ''] = /^Problems: (?:.+\n)+/m.exec(section) ?? [];
  return [...paragraph.matchAll(/(\d{3})\s`([a-z_]+)`/g)].map(
    ([, status, code]) => `${String(status)} ${String(code)}`,
  );
}

describe('docs/api-http.md', () => {
  test('has one section for each route, and none for anything else', () => {
    const headings = [...text.matchAll(/^### (.*)$/gm)].map(([, heading]) => heading);
    expect([...headings].sort()).toEqual([...operations.keys()].sort());
  });

  test.each([...operations])('%s is documented with its parameters', (route, { parameters }) => {
    const expected = parameters.filter((parameter) => parameter.in !== 'header');
    const documented = [...(sections.get(route) ?? '').matchAll(/^\| `(\w+)` +\| (path|query) /gm)];
    expect(documented.map(([, name, place]) => ({ name, in: place }))).toEqual(
      expected.map(({ name, in: place }) => ({ name, in: place })),
    );
  });

  test.each([...operations])('%s is documented with its own problems', (route, { responses }) => {
    const expected = Object.entries(responses)
      .filter(([status]) => /^[45]/.test(status))
      .flatMap(([status, { description }]) => description.split(', ').map((code) => `${status} ${code}`));
    expect([...problemsOf(sections.get(route) ?? '')].sort()).toEqual(expected.sort());
  });

  test('lists every problem that the code can answer with its status, and no other', () => {
    const files = readdirSync(`${root}api`, { recursive: true, encoding: 'utf8' }).filter((path) =>
      path.endsWith('.ts'),
    );
    const answered = files.flatMap((path) => {
      const source = readFileSync(`${root}api/${path}`, 'utf8');
      const direct = [...source.matchAll(/(\d{3}),\s*'([a-z]+(?:_[a-z]+)*)',/g)];
      const later = [...source.matchAll(/unavailable\(\s*'([a-z_]+)'/g)];
      return [
        ...direct.map(([, status = '', code = '']) => [code, status] as const),
        ...later.map(([, code = '']) => [code, '503'] as const),
      ];
    });
    expect(new Map([...problemTable].sort())).toEqual(new Map(answered.sort()));
  });

  test('the problems of routes are in the list, with the same status', () => {
    const unlisted = [...sections.values()]
      .flatMap(problemsOf)
      .filter((problem) => problemTable.get(problem.slice(4)) !== problem.slice(0, 3));
    expect(unlisted).toEqual([]);
  });
});
