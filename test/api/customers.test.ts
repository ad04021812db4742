import { afterEach, describe, expect, test } from '@jest/globals';
import { customerRoutes } from '../../api/app/customer-routes.ts';
import { customerStates } from '../../processors/app/customer/processors.ts';
import type { SourceChange } from '../../schemas/app/customer/change.ts';
import type { CustomerMerged } from '../../schemas/app/customer/merged.ts';
import { defaultPolicy } from '../../schemas/app/customer/policy.ts';
import { foldAll } from '../support/customer/fold.ts';
import { polled } from '../support/customer/records.ts';
import { FakeCluster, FakeInstance, Servers, apiOf, hurriedClock, type Api } from './fake-instance.ts';

const routes = [customerRoutes({ states: customerStates, policy: defaultPolicy })];
const apis: Api[] = [];
const servers = new Servers();

afterEach(async () => {
  await servers.close();
  await Promise.all(apis.splice(0).map((api) => api.close()));
});

const time = (second: number): string => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();

function changeA(
  id: number,
  fields: Readonly<Record<string, unknown>>,
  second = 1,
  operation = 'CREATE',
): SourceChange {
  return polled({ id, operation, lastUpdated: time(second), fields });
}

function changeB(
  id: string,
  fields: Readonly<Record<string, unknown>>,
  second = 2,
  operation = 'CREATE',
): SourceChange {
  return polled({ source: 'system_b', id, operation, lastUpdated: time(second), fields });
}

/** The state after these changes, as the merge would store it. */
function clusterOf(changes: readonly SourceChange[]): {
  cluster: FakeCluster;
  latest: Map<string, CustomerMerged | null>;
} {
  const { merge } = foldAll(changes);
  const cluster = new FakeCluster({ specs: [customerStates], partitions: 3 });
  for (const [email, state] of merge.states) cluster.put('customers', email, state);
  return { cluster, latest: merge.latest() };
}

function serve(cluster: FakeCluster): Api {
  const api = apiOf([new FakeInstance(cluster, 'one')], { routes, clock: hurriedClock, rateLimitPerSecond: 0 });
  apis.push(api);
  return api;
}

const ann = 'ann@x.test';
const annChanges = [
  changeA(1, { email: 'Ann@x.test', name: 'Ann', address: '1 High St', contractType: 'gold' }),
  changeB('u1', { email: ann, name: 'Ann', address: '2 Low Rd', phone: '1' }),
];

describe('GET /customers/:email', () => {
  test('answers what was published last, with its version as entity tag', async () => {
    const { cluster, latest } = clusterOf(annChanges);
    const api = serve(cluster);
    const response = await api.inject(`/customers/${ann}`);
    expect(response.statusCode).toBe(200);
    expect(response.json()).toEqual(latest.get(ann));
    expect(response.json()).toMatchObject({
      email: ann,
      address: '2 Low Rd',
      phone: '1',
      contractType: 'gold',
      isPartial: false,
    });
    expect(response.headers['etag']).toBe('"2"');
    expect(response.headers['x-position']).toMatch(/^input\/\d=1$/);
    const again = await api.inject({ url: `/customers/${ann}`, headers: { 'if-none-match': '"2"' } });
    expect(again.statusCode).toBe(304);
  });

  test.each(['ANN@X.TEST', ' Ann@x.test ', 'ann@X.test'])(
    'finds the customer however the e-mail is written: %j',
    async (email) => {
      const { cluster } = clusterOf(annChanges);
      const response = await serve(cluster).inject(`/customers/${encodeURIComponent(email)}`);
      expect(response.json()).toMatchObject({ email: ann });
    },
  );

  test('composed and decomposed letters are the same e-mail', async () => {
    const { cluster } = clusterOf([changeA(1, { email: 'b\u00f6b@x.test', name: 'B' })]);
    const response = await serve(cluster).inject(`/customers/${encodeURIComponent('bo\u0308b@x.test')}`);
    expect(response.json()).toMatchObject({ name: 'B' });
  });

  test('404 for one that nobody knows, and for one that everybody deleted', async () => {
    const deleted = [...annChanges, changeA(1, {}, 5, 'DELETE'), changeB('u1', {}, 6, 'DELETE')];
    const api = serve(clusterOf(deleted).cluster);
    for (const url of [
      `/customers/${ann}`,
      `/customers/${ann}/lineage`,
      `/customers/${ann}/conflicts`,
      '/customers/bob@x.test',
    ]) {
      const response = await api.inject(url);
      expect([url, response.statusCode, response.json<{ code: string }>().code]).toEqual([
        url,
        404,
        'customer_not_found',
      ]);
    }
  });

  test.each([
    '',
    'no-at',
    'a@b@c',
    '@',
    'a@',
    'a b@c',
    '__proto__',
    'a\u0000@b',
    '\u202ea@b',
    `${'x'.repeat(300)}@x.test`,
    '../admin',
  ])('400 for what is no e-mail: %j', async (email) => {
    const response = await serve(clusterOf([]).cluster).inject(`/customers/${encodeURIComponent(email)}`);
    expect([response.statusCode, response.json<{ code: string }>().code]).toEqual([400, 'email_invalid']);
  });

  test('503, never 404, while the process has not made its instances yet', async () => {
    const api = apiOf([], { routes });
    apis.push(api);
    for (const url of [`/customers/${ann}`, '/customers', '/stores/customers', `/stores/customers/${ann}`])
      expect((await api.inject(url)).json()).toMatchObject({ status: 503, code: 'store_not_ready' });
  });

  test('503, never 404, while the store is not ready', async () => {
    const { cluster } = clusterOf(annChanges);
    cluster.owners.clear();
    const instance = new FakeInstance(cluster, 'one');
    cluster.owners.clear();
    const api = apiOf([instance], { routes, clock: hurriedClock });
    apis.push(api);
    for (const url of [
      `/customers/${ann}`,
      '/customers/bob@x.test',
      `/customers/${ann}/lineage`,
      `/customers/${ann}/conflicts`,
      '/customers',
    ]) {
      const response = await api.inject(url);
      expect([url, response.statusCode, response.headers['retry-after']]).toEqual([url, 503, '1']);
      expect(response.json()).toMatchObject({ code: 'store_not_ready' });
    }
    expect((await api.inject({ method: 'POST', url: '/customer/sync', payload: { email: ann } })).statusCode).toBe(503);
  });

  test('any instance answers', async () => {
    const { cluster, latest } = clusterOf(annChanges);
    const [one, two] = [new FakeInstance(cluster, 'one'), new FakeInstance(cluster, 'two')];
    const urls = [await servers.listen(one, { routes }), await servers.listen(two, { routes })];
    for (const owner of ['one', 'two']) {
      for (let partition = 0; partition < 3; partition += 1) cluster.owners.set(partition, owner);
      for (const url of urls) {
        const response = await fetch(`${url}/customers/${ann}`);
        expect(await response.json()).toEqual(latest.get(ann));
        expect(response.headers.get('x-served-by')).toBe(owner);
        const found = (await (await fetch(`${url}/customers?name=ann`)).json()) as { items: unknown[] };
        expect(found.items).toHaveLength(1);
      }
    }
  });
});

describe('what the systems say', () => {
  test('lineage names winners, losers and sources', async () => {
    const response = await serve(clusterOf(annChanges).cluster).inject(`/customers/${ann}/lineage`);
    const body = response.json<{ fields: { field: string; winner?: { ref: string }; losers: { ref: string }[] }[] }>();
    const address = body.fields.find(({ field }) => field === 'address');
    expect([address?.winner?.ref, address?.losers.map(({ ref }) => ref)]).toEqual(['b:u1', ['a:1']]);
    expect(response.json()).toMatchObject({ email: ann, sources: [{ ref: 'a:1' }, { ref: 'b:u1' }] });
  });

  test('conflicts are a list of fields', async () => {
    const response = await serve(clusterOf(annChanges).cluster).inject(`/customers/${ann}/conflicts`);
    expect(response.json()).toMatchObject([
      { field: 'address', newerSource: 'system_b', chosen: 'b:u1', candidates: [{ ref: 'a:1' }, { ref: 'b:u1' }] },
    ]);
    const agreed = await serve(clusterOf([annChanges[0]!]).cluster).inject(`/customers/${ann}/conflicts`);
    expect(agreed.json()).toEqual([]);
  });

  test('sync compares the systems', async () => {
    const api = serve(clusterOf(annChanges).cluster);
    const response = await api.inject({ method: 'POST', url: '/customer/sync', payload: { email: 'ANN@x.test' } });
    expect(response.statusCode).toBe(200);
    expect(response.json()).toMatchObject({
      email: ann,
      conflicts: [{ field: 'address' }],
      newerSource: { address: 'system_b' },
      inSync: false,
    });
  });

  test.each([
    {},
    { email: 1 },
    { email: '' },
    { email: null },
    { email: [ann] },
    { email: ann, force: true },
    [],
    { email: 'x'.repeat(321) },
  ])('sync refuses %j', async (payload) => {
    const api = serve(clusterOf(annChanges).cluster);
    const response = await api.inject({ method: 'POST', url: '/customer/sync', payload });
    expect([response.statusCode, response.json<{ code: string }>().code]).toEqual([400, 'request_invalid']);
  });

  test('sync of what is no e-mail, and of nobody', async () => {
    const api = serve(clusterOf(annChanges).cluster);
    const ask = async (email: string): Promise<unknown> =>
      (await api.inject({ method: 'POST', url: '/customer/sync', payload: { email } })).json<{ code: string }>().code;
    expect(await ask('nope')).toBe('email_invalid');
    expect(await ask('bob@x.test')).toBe('customer_not_found');
  });
});

describe('GET /customers', () => {
  const many = Array.from({ length: 60 }, (_item, index) => {
    const email = `c${String(index).padStart(3, '0')}@x.test`;
    const name = index % 3 === 0 ? `Müller ${String(index)}` : `Smith ${String(index)}`;
    const inA = changeA(index, { email, name, address: 'A' }, index % 50);
    return index % 2 === 0
      ? [inA]
      : [inA, changeB(`u${String(index)}`, { email, name, address: index % 5 === 0 ? 'B' : 'A' }, index % 50)];
  }).flat();

  interface Found {
    readonly items: readonly CustomerMerged[];
    readonly next: string | null;
  }

  async function all(api: Api, query: string): Promise<readonly CustomerMerged[]> {
    const items: CustomerMerged[] = [];
    let page = (await api.inject(`/customers?${query}`)).json<Found>();
    items.push(...page.items);
    for (let count = 0; page.next !== null; count += 1) {
      if (count > 200) throw new Error('the cursor does not advance');
      page = (await api.inject(`/customers?${query}&cursor=${page.next}`)).json<Found>();
      items.push(...page.items);
    }
    return items;
  }

  test.each(['', 'limit=1', 'limit=7', 'limit=60', 'limit=61', 'limit=500'])(
    'pages over everybody, once each, by e-mail (%s)',
    async (query) => {
      const { cluster, latest } = clusterOf(many);
      const items = await all(serve(cluster), query);
      expect(items.map(({ email }) => email)).toEqual([...latest.keys()].sort());
      expect(items).toEqual([...latest.keys()].sort().map((email) => latest.get(email)));
    },
  );

  const filters: readonly (readonly [string, (customer: CustomerMerged) => boolean])[] = [
    ['name=smith', ({ name }) => name?.includes('Smith') === true],
    [`name=${encodeURIComponent('MÜLLER')}`, ({ name }) => name?.includes('Müller') === true],
    [`name=${encodeURIComponent('mu\u0308l')}`, ({ name }) => name?.includes('Müller') === true],
    ['name=nobody', () => false],
    [`name=${encodeURIComponent('.*')}`, () => false],
    ['source=system_b', ({ sources }) => sources.includes('system_b')],
    ['partial=true', ({ isPartial }) => isPartial],
    ['partial=false', ({ isPartial }) => !isPartial],
    ['hasConflicts=true', ({ conflicts }) => Object.keys(conflicts).length > 0],
    ['hasConflicts=false', ({ conflicts }) => Object.keys(conflicts).length === 0],
    ['updatedSince=2026-01-01T00:00:40Z', ({ lastMergedAt }) => lastMergedAt >= Date.UTC(2026, 0, 1, 0, 0, 40) * 1_000],
    [
      `updatedSince=${encodeURIComponent('2026-01-01T01:00:40+01:00')}`,
      ({ lastMergedAt }) => lastMergedAt >= Date.UTC(2026, 0, 1, 0, 0, 40) * 1_000,
    ],
    [
      'name=smith&partial=false&hasConflicts=true',
      ({ name, isPartial, conflicts }) =>
        name?.includes('Smith') === true && !isPartial && Object.keys(conflicts).length > 0,
    ],
  ];

  test.each(filters)('%s', async (query, matches) => {
    const { cluster, latest } = clusterOf(many);
    const expected = [...latest.values()]
      .filter((customer) => customer !== null && matches(customer))
      .map((customer) => customer?.email);
    for (const limit of ['', '&limit=2', '&limit=500'])
      expect((await all(serve(cluster), `${query}${limit}`)).map(({ email }) => email)).toEqual(expected.sort());
  });

  test.each([
    'limit=0',
    'limit=501',
    'limit=x',
    'source=system_c',
    'partial=yes',
    'updatedSince=yesterday',
    'updatedSince=2026-13-01',
    'name=',
    'cursor=AAAA',
    'sort=name',
    'name=a&name=b',
    `name=${'x'.repeat(201)}`,
  ])('refuses %s', async (query) => {
    const response = await serve(clusterOf([]).cluster).inject(`/customers?${query}`);
    expect(response.statusCode).toBe(400);
  });

  test('a search that finds little ends in bounded time, with a cursor', async () => {
    const { cluster } = clusterOf([changeA(1, { email: 'zz@x.test', name: 'Last' })]);
    const state = foldAll([changeA(1, { email: 'x@x.test', name: 'X' })]).merge.states.get('x@x.test')!;
    for (let index = 0; index < 6_000; index += 1)
      cluster.put('customers', `a${String(index)}@x.test`, { ...state, email: `a${String(index)}@x.test` });
    const api = serve(cluster);
    const first = (await api.inject('/customers?name=last')).json<Found>();
    expect([first.items, typeof first.next]).toEqual([[], 'string']);
    expect((await all(api, 'name=last')).map(({ email }) => email)).toEqual(['zz@x.test']);
  });
});
