import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { customerDifferences, createCustomerShadow, type RunningShadow } from '../../api/app/customer-shadow.ts';
import { customerRoutes } from '../../api/app/customer-routes.ts';
import { fixedRollout, type RolloutPort } from '../../api/app/rollout-port.ts';
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import { findLegacyCustomer } from '../../connectors/app/legacy-customers.ts';
import { createCircuitBreaker } from '../../connectors/circuit-breaker.ts';
import { createHttpSource } from '../../connectors/http-source.ts';
import { customerStates } from '../../processors/app/customer/processors.ts';
import type { CustomerMerged } from '../../schemas/app/customer/merged.ts';
import { defaultPolicy } from '../../schemas/app/customer/policy.ts';
import type { RolloutFlag } from '../../schemas/app/rollout.ts';
import { shadowTopics, type Comparison } from '../../schemas/app/shadow.ts';
import { until } from '../support/cluster.ts';
import { foldAll } from '../support/customer/fold.ts';
import { polled } from '../support/customer/records.ts';
import { FakeCluster, FakeInstance, apiOf, hurriedClock, type Api } from './fake-instance.ts';

const ann = 'ann@x.test';
const waitMs = 60_000;
const { comparisons } = shadowTopics();
const { merge } = foldAll([
  polled({
    id: 1,
    operation: 'CREATE',
    lastUpdated: new Date(Date.UTC(2026, 0, 1)).toISOString(),
    fields: { email: ann, name: 'Ann', address: '1 High St', contractType: 'gold' },
  }),
]);
const merged = merge.latest().get(ann)!;
const same = { email: ann, name: 'Ann', address: '1 High St', contract_type: 'gold', is_partial: true, version: 99 };

/** The system before: what it answers by e-mail; a status for what it cannot. */
const answers = new Map<string, object | number>();
let legacy: Server;
let shadow: RunningShadow;
let api: Api;
let written: Comparison[];
let shares: Partial<Record<RolloutFlag, boolean>>;

beforeEach(async () => {
  answers.clear();
  written = [];
  shares = { 'shadow-customers': true };
  legacy = createServer((request, response) => {
    const answer = answers.get(decodeURIComponent(request.url?.split('/').at(-1) ?? '')) ?? 404;
    response.statusCode = typeof answer === 'number' ? answer : 200;
    response.end(JSON.stringify(typeof answer === 'number' ? {} : answer));
  });
  await new Promise<void>((resolve) => legacy.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${String((legacy.address() as AddressInfo).port)}/customers`;
  const breaker = createCircuitBreaker({ clock: systemClock, name: 'legacy' });
  const http = createHttpSource({ fetch, clock: systemClock, random: systemRandom, breaker, retries: 0 });
  shadow = createCustomerShadow({
    legacy: { pair: 'legacy|merge', isLeft: true, find: (email) => findLegacyCustomer(http, url, email) },
    others: [],
    ...{ comparisons, clock: hurriedClock, logger: silentLogger, settleMs: 2_000 },
    write: (record) => Promise.resolve(written.push(comparisons.value.deserialize(record.value!))),
  });
  const cluster = new FakeCluster({ specs: [customerStates] });
  for (const [email, state] of merge.states) cluster.put('customers', email, state);
  const rollout: RolloutPort = { ...fixedRollout, isOn: (flag) => shares[flag] === true };
  const routes = [customerRoutes({ states: customerStates, policy: defaultPolicy, shadow, rollout })];
  api = apiOf([new FakeInstance(cluster, 'one')], { routes, clock: hurriedClock, rateLimitPerSecond: 0 });
});

afterEach(async () => {
  await api.close();
  await shadow.close();
  legacy.closeAllConnections();
  await new Promise((resolve) => legacy.close(resolve));
});

const ask = (headers: Readonly<Record<string, string>> = {}) => api.inject({ url: `/customers/${ann}`, headers });

async function compared(): Promise<Comparison> {
  await until('it is compared', () => written.length === 1, waitMs);
  return written[0]!;
}

describe('who answers', () => {
  test('the system before, until the flag says otherwise', async () => {
    answers.set(ann, { ...same, name: 'Before' });
    const before = await ask();
    expect([before.headers['x-served-by'], before.json<CustomerMerged>().name]).toEqual(['legacy', 'Before']);
    shares['use-materialized-view'] = true;
    const now = await ask();
    expect([now.headers['x-served-by'], now.json<CustomerMerged>().name]).toEqual(['one', 'Ann']);
  });

  test('404 if the system before knows nobody, and the merge if it cannot say', async () => {
    expect((await ask()).statusCode).toBe(404);
    answers.set(ann, 500);
    expect((await ask()).json()).toEqual(merged);
  });

  test('the merge, if the answer must reflect what the client has written', async () => {
    answers.set(ann, { ...same, name: 'Before' });
    expect((await ask({ 'x-min-position': 'input/0=0' })).json<CustomerMerged>().name).toBe('Ann');
  });
});

describe('what is compared beside the answer', () => {
  test('is the same, whatever the spelling and whatever version', async () => {
    answers.set(ann, same);
    await ask();
    expect(await compared()).toMatchObject({
      subject: 'customers',
      pair: 'legacy|merge',
      outcome: 'match',
      fields: [],
    });
    expect(shadow.counts()).toEqual([{ pair: 'legacy|merge', outcome: 'match', count: 1 }]);
  });

  test('differs by names of fields, never by values', async () => {
    answers.set(ann, { ...same, address: '9 Secret Rd', phone: '1', is_partial: false });
    await ask();
    expect(await compared()).toMatchObject({ outcome: 'mismatch', fields: ['address', 'phone', 'isPartial'] });
    expect(JSON.stringify(written)).not.toContain('Secret');
  });

  test('is the same once the late side has come', async () => {
    answers.set(ann, { ...same, address: 'old' });
    shares['use-materialized-view'] = true;
    await ask();
    answers.set(ann, same);
    expect(await compared()).toMatchObject({ outcome: 'match' });
  });

  test('is missing on the left, where the system before knows nobody', async () => {
    shares['use-materialized-view'] = true;
    await ask();
    expect(await compared()).toMatchObject({ outcome: 'missing_left', fields: [] });
  });

  test('is not compared if a side cannot be asked, or if the share does not have the customer', async () => {
    answers.set(ann, 500);
    await ask();
    await until('it is given up', () => shadow.skipped === 1, waitMs);
    shares = {};
    answers.set(ann, same);
    await ask();
    await shadow.close();
    expect([written, shadow.counts()]).toEqual([[], []]);
  });
});

describe('differences of customers', () => {
  test.each([
    [undefined, undefined, []],
    [merged, undefined, undefined],
    [undefined, same, undefined],
    [merged, { ...same, sources: ['system_b'] }, ['sources']],
    [merged, { email: ann }, ['name', 'address', 'contractType']],
  ])('%#', (left, right, fields) => {
    expect(customerDifferences(left, right)).toEqual(fields);
  });
});
