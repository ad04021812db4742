import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { customerRoutes } from '../../api/app/customer-routes.ts';
import { stewardRoutes } from '../../api/app/steward-routes.ts';
import type { Clock } from '../../clock.ts';
import { customerStates } from '../../processors/app/customer/processors.ts';
import type { CustomerMerged } from '../../schemas/app/customer/merged.ts';
import type { StewardOverride } from '../../schemas/app/customer/override.ts';
import { defaultPolicy } from '../../schemas/app/customer/policy.ts';
import { customerTopics } from '../../schemas/app/customer/topics.ts';
import { customerMerge } from '../../topology/app/customer-merge.ts';
import { TestDriver } from '../../topology/runtime/driver.ts';
import { until } from '../support/cluster.ts';
import { FakeCluster, FakeInstance, apiOf, hurriedClock, type Api } from './fake-instance.ts';

const topics = customerTopics();
const ann = 'ann@x.test';
const startMs = Date.UTC(2026, 0, 1);

/** The merge behind its API: what is written is processed at once, unless the test holds it back. */
let driver: TestDriver;
let cluster: FakeCluster;
let api: Api;
let heldBack: (() => Promise<void>)[] | undefined;
let nowMs = startMs;
/** Between two looks of whoever waits. */
let pauses = 0;

async function show(): Promise<void> {
  for (const { key, value } of await driver.rows(customerStates)) cluster.put('customers', key, value);
}

async function run(decision: StewardOverride): Promise<void> {
  driver.pipe(topics.decisions, decision.email, decision, { timestampMs: nowMs });
  await show();
}

function change(source: 'system_a' | 'system_b', fields: Readonly<Record<string, unknown>>): void {
  const topic = source === 'system_a' ? topics.changesA : topics.changesB;
  const payload = { email: ann, name: 'Ann', lastUpdated: startMs, ...fields };
  const event = { eventId: 'e', source, operation: 'CREATE', timestamp: startMs, payload };
  driver.pipeBytes(topic.name, Buffer.from(ann), Buffer.from(JSON.stringify(event)), { timestampMs: startMs });
}

beforeEach(async () => {
  driver = new TestDriver(customerMerge());
  cluster = new FakeCluster({ specs: [customerStates] });
  heldBack = undefined;
  nowMs = startMs;
  change('system_a', { id: '1', address: '1 High St', contractStartDate: '2026-01-01' });
  change('system_b', { uuid: 'u1', address: '2 Low Rd', phone: '1', lastUpdated: startMs + 1_000 });
  await show();
  const about = { states: customerStates, policy: defaultPolicy };
  pauses = 0;
  const sleep: Clock['sleep'] = (ms, signal) => {
    pauses += 1;
    return hurriedClock.sleep(ms, signal);
  };
  const clock = { ...hurriedClock, sleep, nowMs: () => nowMs };
  let offset = 0;
  const stewards = stewardRoutes({
    ...about,
    clock,
    decisions: topics.decisions,
    write: async ({ topic, key, value }) => {
      expect(topic).toBe(topics.decisions.name);
      const decision = topics.decisions.value.deserialize(value!);
      expect(topics.decisions.key.deserialize(key!)).toBe(decision.email);
      if (heldBack === undefined) await run(decision);
      else heldBack.push(() => run(decision));
      return { topic, partition: 0, offset: offset++ };
    },
  });
  const routes = [customerRoutes(about), stewards];
  api = apiOf([new FakeInstance(cluster, 'one')], { routes, clock: hurriedClock, rateLimitPerSecond: 0 });
});

afterEach(async () => {
  driver.close();
  await api.close();
});

const by = { by: 'eve', reason: 'asked the customer' };
const onAddress = `/customers/${ann}/conflicts/address/resolution`;

async function ask(
  method: 'POST' | 'DELETE',
  url: string,
  payload: object,
  ifMatch: string | undefined,
): Promise<{ readonly status: number; readonly body: Readonly<Record<string, unknown>> }> {
  const headers = ifMatch === undefined ? {} : { 'if-match': ifMatch };
  const response = await api.inject({ method, url, payload: { ...by, ...payload }, headers });
  nowMs += 1;
  return { status: response.statusCode, body: response.json() };
}

async function customer(): Promise<CustomerMerged> {
  return (await api.inject(`/customers/${ann}`)).json<CustomerMerged>();
}

describe('settling a conflict', () => {
  test('by a system: its value counts, the conflict is closed, and the lineage names who decided and why', async () => {
    const { status, body } = await ask('POST', `${onAddress}?wait=100`, { choose: 'system_a' }, '"2"');
    expect([status, body['status']]).toEqual([200, 'accepted']);
    expect(await customer()).toMatchObject({ address: '1 High St', version: 3, conflicts: {} });
    const lineage = (await api.inject(`/customers/${ann}/lineage`)).json<{ fields: { field: string }[] }>();
    expect(lineage.fields.find(({ field }) => field === 'address')).toMatchObject({
      winner: { ref: 'a:1', rule: 'pin_source', pinned: true },
      decision: { actorId: 'eve', reason: 'asked the customer', action: 'PIN_SOURCE', expectedVersion: 2 },
    });
    expect(driver.read(topics.conflicts).map(({ value }) => [value?.kind, value?.type])).toEqual([
      ['field_value', 'opened'],
      ['override', 'accepted'],
      ['field_value', 'resolved'],
    ]);
  });

  test.each([
    [{ choose: 'value', value: '3 New St' }, '3 New St', []],
    [{ choose: 'system_a', ref: 'a:1' }, '1 High St', []],
    [{ choose: 'current' }, '2 Low Rd', []],
    [{ choose: 'value', value: null }, undefined, []],
  ])('by %j', async (choice, address, conflicts) => {
    expect((await ask('POST', `${onAddress}?wait=100`, choice, '"2"')).status).toBe(200);
    expect((await customer()).address).toBe(address);
    expect((await api.inject(`/customers/${ann}/conflicts`)).json()).toEqual(conflicts);
  });

  test('without wait it is only written down: 202, and where to look', async () => {
    const { status, body } = await ask('POST', onAddress, { choose: 'system_a' }, '"2"');
    expect([status, body['status']]).toEqual([202, 'processing']);
    const { accepted, refused } = (await api.inject(String(body['statusUrl']))).json<Record<string, unknown[]>>();
    expect([accepted, refused]).toEqual([[body['decision']], []]);
  });

  test('withdrawn, the policy decides again and the conflict is open again', async () => {
    await ask('POST', onAddress, { choose: 'system_a' }, '"2"');
    expect((await ask('DELETE', `${onAddress}?wait=100`, {}, '"3"')).status).toBe(200);
    expect(await customer()).toMatchObject({ address: '2 Low Rd', version: 4, conflicts: { address: {} } });
    expect((await ask('DELETE', onAddress, {}, '"4"')).body['code']).toBe('decision_not_made');
  });

  test('of two stewards who decide on the same version at one time one is refused, and nothing is lost', async () => {
    heldBack = [];
    await ask('POST', onAddress, { choose: 'system_a' }, '"2"');
    await ask('POST', onAddress, { choose: 'value', value: 'mine' }, '"2"');
    await ask('POST', `/customers/${ann}/detach`, { ref: 'b:u1' }, '*');
    for (const carryOut of heldBack) await carryOut();
    expect(await customer()).toMatchObject({ address: '1 High St', sources: ['system_a'] });
    const { accepted, refused } = (await api.inject(`/customers/${ann}/decisions`)).json<{
      accepted: StewardOverride[];
      refused: StewardOverride[];
    }>();
    expect([accepted.map(({ action }) => action), refused.map(({ value }) => value)]).toEqual([
      ['PIN_SOURCE', 'DETACH_REF'],
      ['mine'],
    ]);
  });

  test('whoever waits for a decision that another one has overtaken is told so', async () => {
    heldBack = [];
    await ask('POST', onAddress, { choose: 'system_a' }, '"2"');
    const [first] = heldBack;
    const late = ask('POST', `${onAddress}?wait=10000`, { choose: 'system_b' }, '"2"');
    await until('it is written down', () => heldBack?.length === 2, 60_000);
    await first?.();
    await heldBack[1]?.();
    const { status, body } = await late;
    expect([status, body['code']]).toEqual([412, 'version_conflict']);
  });

  test('whoever waits over a real connection waits, though the body of the request was read long ago', async () => {
    heldBack = [];
    const url = await api.listen({ host: '127.0.0.1', port: 0 });
    const asked = fetch(`${url}${onAddress}?wait=10000`, {
      method: 'POST',
      headers: { 'if-match': '"2"', 'content-type': 'application/json' },
      body: JSON.stringify({ ...by, choose: 'system_a' }),
    });
    await until('it is written down', () => heldBack?.length === 1, 60_000);
    await until('it looks again', () => pauses > 2, 60_000);
    await heldBack[0]?.();
    expect((await asked).status).toBe(200);
  });

  test.each([
    ['another version', onAddress, { choose: 'system_a' }, '"1"', 412, 'version_conflict'],
    ['no version', onAddress, { choose: 'system_a' }, undefined, 428, 'if_match_missing'],
    ['a weak tag', onAddress, { choose: 'system_a' }, 'W/"2"', 428, 'if_match_missing'],
    ['nobody who says so', onAddress, { choose: 'system_a', by: '' }, '"2"', 400, 'request_invalid'],
    ['no reason', onAddress, { choose: 'system_a', reason: '' }, '"2"', 400, 'request_invalid'],
    ['another choice', onAddress, { choose: 'system_c' }, '"2"', 400, 'request_invalid'],
    ['a value too many', onAddress, { choose: 'system_a', value: 'x' }, '"2"', 422, 'value_invalid'],
    ['no value', onAddress, { choose: 'value' }, '"2"', 422, 'value_invalid'],
    ['a value of NUL', onAddress, { choose: 'value', value: '\u0000' }, '"2"', 422, 'value_invalid'],
    ['agreement', onAddress.replace('address', 'name'), { choose: 'system_a' }, '"2"', 409, 'conflict_not_open'],
    ['no such field', onAddress.replace('address', 'email'), { choose: 'system_a' }, '"2"', 400, 'request_invalid'],
    ['nobody', onAddress.replace('ann', 'bob'), { choose: 'system_a' }, '*', 404, 'customer_not_found'],
    ['a record of others', `/customers/${ann}/detach`, { ref: 'a:9' }, '*', 404, 'source_record_not_found'],
    ['a prototype', `/customers/${ann}/detach`, { ref: '__proto__' }, '*', 404, 'source_record_not_found'],
  ])('is refused for %s', async (_, url, payload, ifMatch, status, code) => {
    const answer = await ask('POST', url, payload, ifMatch);
    expect([answer.status, answer.body['code']]).toEqual([status, code]);
    expect(driver.read(topics.overrides)).toEqual([]);
  });

  test('a date is pinned to dates only', async () => {
    change('system_a', { id: '2', address: '1 High St', contractStartDate: '2026-02-01' });
    await show();
    const url = `/customers/${ann}/conflicts/contractStart/resolution`;
    for (const value of ['soon', '2026-02-31', '2026-2-1'])
      expect((await ask('POST', url, { choose: 'value', value }, '*')).body['code']).toBe('value_invalid');
    expect((await ask('POST', `${url}?wait=100`, { choose: 'value', value: '2026-02-02' }, '*')).status).toBe(200);
    expect(await customer()).toMatchObject({ contractStart: '2026-02-02' });
  });
});

describe('taking a source record out', () => {
  test('makes it a customer of its own, until it is put back', async () => {
    expect((await ask('POST', `/customers/${ann}/detach?wait=100`, { ref: 'b:u1' }, '"2"')).status).toBe(200);
    expect(await customer()).toMatchObject({ sources: ['system_a'], isPartial: true, conflicts: {} });
    expect(driver.read(topics.detached)).toMatchObject([{ key: 'b:u1', value: { detached: true, phone: '1' } }]);
    expect((await ask('POST', `/customers/${ann}/attach?wait=100`, { ref: 'b:u1' }, '"3"')).status).toBe(200);
    expect(await customer()).toMatchObject({ sources: ['system_a', 'system_b'], isPartial: false });
    expect(driver.read(topics.detached)).toMatchObject([{ key: 'b:u1', value: null }]);
  });
});

describe('who may decide', () => {
  test('administrators only', async () => {
    const about = { states: customerStates, policy: defaultPolicy };
    const write = (): Promise<never> => Promise.reject(new Error('nothing is written here'));
    const routes = [stewardRoutes({ ...about, decisions: topics.decisions, write, clock: hurriedClock })];
    const tokens = { apiToken: 'reader-token-0123456789', adminToken: 'admin-token-0123456789' };
    const guarded = apiOf([new FakeInstance(cluster, 'one')], { routes, ...tokens });
    const authorization = `Bearer ${tokens.apiToken}`;
    const url = `/customers/${ann}/decisions`;
    expect((await guarded.inject(url)).statusCode).toBe(401);
    expect((await guarded.inject({ url, headers: { authorization } })).statusCode).toBe(403);
    const decided = await guarded.inject({ method: 'POST', url: onAddress, payload: by, headers: { authorization } });
    expect(decided.statusCode).toBe(403);
    await guarded.close();
  });
});
