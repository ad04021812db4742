import { expect, test } from '@jest/globals';
import { noBacklog } from '../../api/app/backlog.ts';
import { noRegister } from '../../api/app/request-register.ts';
import { applications } from '../../program/applications.ts';
import { noSources } from '../../program/application-connectors.ts';
import { routesOf } from '../../program/routes-of.ts';
import { jsonFormat } from '../../schemas/app/record-format.ts';
import { apiOf, type Api } from '../api/fake-instance.ts';

const ports = {
  ...{ topicPrefix: '', format: jsonFormat, register: noRegister, backlog: noBacklog, sources: noSources },
  write: () => Promise.reject(new Error('nothing is written')),
};

/** The API of a process that runs these, and knows of no other. */
function apiOfProcess(topologies: readonly string[]): Api {
  const chosen = applications.filter(({ name }) => topologies.includes(name));
  const { here, elsewhere } = routesOf(chosen, ports);
  return apiOf([], { routes: here, elsewhere: { url: undefined, routes: elsewhere } });
}

const command = {
  method: 'POST',
  url: '/transactions/transfer',
  payload: { sourceAccountId: 'a', destinationAccountId: 'b', amount: '1', currency: 'USD', idempotencyKey: 'k' },
} as const;
const elsewhere = [421, 'topology_elsewhere'];
const here = [503, 'store_not_ready'];

test('a process with some of the topologies of billing takes commands in, answers from those, and knows what others answer', async () => {
  const api = apiOfProcess(['billing-balances']);
  const asked = async (request: { readonly method?: 'POST'; readonly url: string; readonly payload?: object }) => {
    const answer = await api.inject(request);
    return [answer.statusCode, answer.json<{ code: string }>().code];
  };
  expect(await asked(command)).toEqual(here);
  expect(await asked({ url: '/accounts/a/balance' })).toEqual(here);
  expect(await asked({ ...command, url: `${command.url}?wait=10` })).toEqual(elsewhere);
  for (const path of [
    '/transactions/status/k',
    '/accounts/a/holds',
    '/analytics/daily?from=2026-01-01',
    '/customers/a@b.c',
  ])
    expect([path, await asked({ url: path })]).toEqual([path, elsewhere]);
  expect(await asked({ url: '/sync/conflicts' })).toEqual([404, 'route_unknown']);
  await api.close();
});

test('a process that only takes commands in knows what others answer', async () => {
  const api = apiOfProcess(['billing-intake']);
  const codeOf = async (url: string): Promise<unknown> =>
    (await api.inject({ ...command, url })).json<{ code: string }>().code;
  expect([await codeOf(command.url), await codeOf(`${command.url}?wait=10`)]).toEqual([here[1], elsewhere[1]]);
  for (const url of ['/accounts/a/balance', '/transactions/status/k', '/admin/sagas'])
    expect([url, (await api.inject(url)).json<{ code: string }>().code]).toEqual([url, elsewhere[1]]);
  await api.close();
});

test('a process with all topologies answers everything, and one without any of billing takes no commands in', async () => {
  const all = apiOfProcess(applications.map(({ name }) => name));
  expect((await all.inject(`${command.url}?wait=10`)).statusCode).toBe(405);
  expect((await all.inject({ ...command, url: `${command.url}?wait=10` })).statusCode).toBe(503);
  const none = apiOfProcess(['customer-merge']);
  expect((await none.inject(command)).statusCode).toBe(421);
  await Promise.all([all.close(), none.close()]);
});
