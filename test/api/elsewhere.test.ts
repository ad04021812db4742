import { afterEach, expect, test } from '@jest/globals';
import { queryString, type Routes } from '../../api/routes.ts';
import { FakeCluster, FakeInstance, Servers, apiOf } from './fake-instance.ts';

const servers = new Servers();
afterEach(() => servers.close());

const tokens = { apiToken: 'reader-token-reader', adminToken: 'admin-token-admin-' };
const reader = { authorization: `Bearer ${tokens.apiToken}` };
const admin = { authorization: `Bearer ${tokens.adminToken}` };

/** Answers with what it was asked. */
const echo: Routes = ({ app }) => {
  app.get('/things/:id', { schema: { querystring: queryString({ wait: { type: 'string' } }) } }, (request, reply) => {
    const { authorization, 'x-min-position': position, 'x-correlation-id': correlation } = request.headers;
    void reply.headers({ etag: '"1"', 'x-position': 'words/0=1', 'x-other': 'not told' });
    return reply.send({ url: request.url, position, correlation, authorization });
  });
  app.post('/things', (request, reply) =>
    reply
      .code(202)
      .header('location', '/things/1')
      .send({ body: request.body, key: request.headers['idempotency-key'] }),
  );
  app.get('/admin/things', { config: { access: 'admin' } }, () => ({ isAdmin: true }));
};

const instance = (name: string): FakeInstance => new FakeInstance(new FakeCluster(), name);
const worker = (): Promise<string> => servers.listen(instance('worker'), { ...tokens, routes: [echo] });
const front = (url: string | undefined) =>
  apiOf([instance('front')], { ...tokens, elsewhere: { url, routes: [{ routes: echo }] } });

test('a query is answered by the process that can, with what the client asked for and without its credentials', async () => {
  const api = front(await worker());
  const headers = { ...reader, 'x-min-position': 'words/0=1', 'x-correlation-id': 'mine' };
  const answer = await api.inject({ url: '/things/a%20b?wait=5', headers });
  expect(answer.json()).toEqual({ url: '/things/a%20b?wait=5', position: 'words/0=1', correlation: 'mine' });
  expect(answer.headers).toMatchObject({ etag: '"1"', 'x-position': 'words/0=1', 'x-correlation-id': 'mine' });
  expect(answer.headers).not.toHaveProperty('x-other');
  await api.close();
});

test('a command is passed on with its body and its key', async () => {
  const api = front(await worker());
  const headers = { ...reader, 'idempotency-key': 'k' };
  const answer = await api.inject({ method: 'POST', url: '/things', headers, payload: { name: 'é' } });
  expect([answer.statusCode, answer.headers.location]).toEqual([202, '/things/1']);
  expect(answer.json()).toEqual({ body: { name: 'é' }, key: 'k' });
  await api.close();
});

test('who may not ask here is not passed on, and an administrator is one there too', async () => {
  const api = front(await worker());
  const status = async (headers: Readonly<Record<string, string>>) =>
    (await api.inject({ url: '/admin/things', headers })).statusCode;
  expect([await status({}), await status(reader), await status(admin)]).toEqual([401, 403, 200]);
  await api.close();
});

test('only the requests that are meant are passed on', async () => {
  const isMeant = ({ method }: { readonly method: string }): boolean => method === 'POST';
  const routes = [{ routes: echo, isMeant }];
  const api = apiOf([instance('front')], { elsewhere: { url: undefined, routes } });
  expect((await api.inject('/things/1')).statusCode).toBe(200);
  const answer = await api.inject({ method: 'POST', url: '/things', payload: {} });
  expect([answer.statusCode, answer.json()]).toMatchObject([421, { code: 'topology_elsewhere' }]);
  await api.close();
});

test('without a process to ask, or where that one cannot answer either, it is 421', async () => {
  const lost = await servers.listen(instance('lost'), { elsewhere: { url: undefined, routes: [{ routes: echo }] } });
  for (const url of [undefined, lost]) {
    const api = front(url);
    const answer = await api.inject({ url: '/things/1', headers: reader });
    expect([answer.statusCode, answer.json()]).toMatchObject([421, { code: 'topology_elsewhere' }]);
    await api.close();
  }
});

test('what was passed on is not passed on once more, so that two who name each other do not go on for ever', async () => {
  const api = front(await worker());
  const answer = await api.inject({ url: '/things/1', headers: { ...reader, 'x-passed-on': '1' } });
  expect([answer.statusCode, answer.json()]).toMatchObject([421, { code: 'topology_elsewhere' }]);
  await api.close();
});

test('503 while that process does not answer', async () => {
  const url = await worker();
  await servers.close();
  const api = front(url);
  const answer = await api.inject({ url: '/things/1', headers: reader });
  expect([answer.statusCode, answer.json()]).toMatchObject([503, { code: 'peer_unavailable' }]);
  await api.close();
});
