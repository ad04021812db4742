import { afterEach, describe, expect, test } from '@jest/globals';
import type { FastifyInstance } from 'fastify';
import { createApi } from '../../api/server.ts';
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import type { Log } from '../../connectors/log.ts';
import { dlqCommand, parseDlqArguments } from '../../commands/dlq.ts';
import { StreamError, defineTopic, defineTopology, stringSerde, type StreamInstance } from '../../index.ts';
import { memoryLog } from '../../connectors/embedded/embedded-log.ts';
import { createDeadLetterDesk, type DeadLetterDesk } from '../../topology/runtime/dead-letter-desk.ts';
import { produce, readAll, testInstance, until } from '../support/cluster.ts';

const input = defineTopic({ name: 'input', key: stringSerde, value: stringSerde });
const output = defineTopic({ name: 'output', key: stringSerde, value: stringSerde });
const dlq = defineTopic({ name: 'dlq', key: stringSerde, value: stringSerde });
const adminToken = 'administrator-of-tests';

/** What the step refuses; emptied once it is mended. */
const refused = new Set<string>();

const topology = defineTopology(
  'app',
  (t) => {
    t.stream(input)
      .mapValues((value) => {
        if (refused.has(value) && value.includes('worse'))
          throw new StreamError('RECORD_INVALID', 'indigestible', { facts: { reason: 'too_hot' } });
        if (refused.has(value)) throw new Error(`cannot digest \u001b[31m${value}`);
        return value;
      })
      .to(output);
    t.stream(input)
      .selectKey('by-value', (value) => value)
      .repartition('values', { keySerde: stringSerde })
      .foreach((value) => {
        if (value === 'late') throw new Error('too late');
      });
  },
  { onError: 'dead-letter', deadLetterTopic: dlq.name },
);

interface Rig {
  readonly log: Log;
  readonly instance: StreamInstance;
  readonly desk: DeadLetterDesk;
  readonly api: FastifyInstance;
}

const rigs: Rig[] = [];

function deskOn(log: Log): DeadLetterDesk {
  return createDeadLetterDesk({ log, clock: systemClock, random: systemRandom, applicationId: 'app', topology });
}

async function rig(values: readonly string[]): Promise<Rig> {
  const log = memoryLog({ clock: systemClock, random: systemRandom });
  await log.admin.createTopics([input, output, dlq].map(({ name }) => ({ name, partitions: 2 })));
  const instance = testInstance(log, topology);
  const desk = deskOn(log);
  const api = createApi({
    instances: [instance],
    deadLetters: [desk],
    clock: systemClock,
    logger: silentLogger,
    host: '127.0.0.1',
    apiToken: 'reader-of-the-tests',
    adminToken,
    rateLimitPerSecond: 0,
  });
  const made = { log, instance, desk, api };
  rigs.push(made);
  await produce(
    log,
    input,
    values.map((value) => ({ key: 'k', value })),
  );
  await instance.start();
  await until('all is dealt with', async () => (await settledCount(log)) >= values.length, 60_000);
  return made;
}

async function settledCount(log: Log): Promise<number> {
  return (await readAll(log, output)).length + (await readAll(log, dlq)).length;
}

async function ask(api: FastifyInstance, method: 'GET' | 'POST', url: string, payload?: object) {
  const headers = { authorization: `Bearer ${adminToken}` };
  const response = await api.inject({ method, url, headers, ...(payload === undefined ? {} : { payload }) });
  return { status: response.statusCode, body: response.json<Record<string, unknown>>() };
}

afterEach(async () => {
  refused.clear();
  for (const { api, instance, log } of rigs.splice(0)) {
    await api.close();
    await instance.close();
    await log.close();
  }
});

describe('dead letters', () => {
  test('are listed and shown with what failed and why, page by page, to administrators only', async () => {
    refused.add('bad').add('worse');
    const { api, instance } = await rig(['one', 'bad', 'worse', 'two']);
    const first = await ask(api, 'GET', '/admin/dlq/app?limit=1&state=open');
    expect(first.body).toMatchObject({
      items: [{ state: 'open', code: 'PROCESSING_FAILED', attempts: 1, origin: { topic: 'input', offset: 1 } }],
      next: expect.stringMatching(/^\d-1$/) as unknown,
    });
    const rest = await ask(api, 'GET', `/admin/dlq/app?cursor=${String(first.body['next'])}`);
    expect(rest.body).toMatchObject({ items: [{ origin: { offset: 2 } }], next: null });
    const [{ id }] = rest.body['items'] as [{ id: string }];
    const shown = await ask(api, 'GET', `/admin/dlq/app/${id}`);
    expect(shown.body).toMatchObject({
      originId: expect.stringMatching(/^app\|input\|\d\|2$/) as unknown,
      exception: 'StreamError:RECORD_INVALID',
      record: { key: { text: 'k' }, value: { text: 'worse', base64: 'd29yc2U=' }, headers: [] },
    });
    const found = await ask(api, 'GET', '/admin/dlq/app?reason=too_hot');
    expect(found.body).toMatchObject({ items: [{ id, code: 'RECORD_INVALID', reason: 'too_hot' }] });
    const counted = instance.metrics().filter(({ name }) => name === 'rivulet_dead_letters_total');
    expect(counted.map(({ labels, value }) => [labels['code'], labels['reason'], value])).toEqual([
      ['PROCESSING_FAILED', '', 1],
      ['RECORD_INVALID', 'too_hot', 1],
    ]);
    expect((await api.inject('/admin/dlq/app')).statusCode).toBe(401);
    const reader = { authorization: 'Bearer reader-of-the-tests' };
    expect((await api.inject({ url: `/admin/dlq/app/${id}`, headers: reader })).statusCode).toBe(403);
  }, 120_000);

  test.each([
    ['GET', '/admin/dlq/app?limit=0', undefined, 400],
    ['GET', '/admin/dlq/app?limit=501', undefined, 400],
    ['GET', '/admin/dlq/app?cursor=x', undefined, 400],
    ['GET', '/admin/dlq/app?state=lost', undefined, 400],
    ['GET', '/admin/dlq/other', undefined, 404],
    ['GET', '/admin/dlq/app/0-99', undefined, 404],
    ['GET', '/admin/dlq/app/99-0', undefined, 404],
    ['POST', '/admin/dlq/app/0-99/replay', { by: 'me' }, 404],
    ['POST', '/admin/dlq/app/0-0/replay', {}, 400],
    ['POST', '/admin/dlq/app/0-0/replay', { by: 'me', force: true }, 400],
    ['POST', '/admin/dlq/app/0-0/discard', { by: 'me' }, 400],
  ] as const)('%s %s %j is refused', async (method, url, payload, status) => {
    const { api } = await rig([]);
    expect((await ask(api, method, url, payload)).status).toBe(status);
  });

  test('a replay is processed once, by this application only, however often and from wherever it is asked for', async () => {
    refused.add('bad');
    const { api, log, desk } = await rig(['one', 'bad', 'two']);
    const [letter] = (await desk.list({})).items;
    const id = letter?.id ?? '';
    refused.clear();
    const others = [desk, deskOn(log), deskOn(log)];
    const answers = await Promise.allSettled(others.map((other) => other.replay(id, 'me')));
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await ask(api, 'POST', `/admin/dlq/app/${id}/replay`, { by: 'me' })).toMatchObject({
      status: 409,
      body: { code: 'dead_letter_decided' },
    });
    await until('it is processed', async () => (await readAll(log, output)).length === 3, 60_000);
    expect((await readAll(log, output)).map(({ value }) => value)).toEqual(['one', 'two', 'bad']);
    expect(await readAll(log, input)).toHaveLength(3);
    expect(await readAll(log, { ...input, name: 'app-input-replay' })).toHaveLength(1);
    expect((await ask(api, 'GET', `/admin/dlq/app/${id}`)).body).toMatchObject({
      state: 'replayed',
      decision: { by: 'me', target: 'app-input-replay' },
    });
  }, 120_000);

  test('a replay that fails again is a dead letter of its own, and remembers what it was', async () => {
    refused.add('bad');
    const { desk, log } = await rig(['bad']);
    const [letter] = (await desk.list({})).items;
    await desk.replay(letter?.id ?? '', 'me');
    await until('it failed again', async () => (await readAll(log, dlq)).length === 2, 60_000);
    const [again] = (await desk.list({ state: 'open' })).items;
    expect(again).toMatchObject({ origin: { topic: 'app-input-replay' }, replayOf: letter?.originId });
    refused.clear();
    await desk.replay(again?.id ?? '', 'me');
    await until('it is processed', async () => (await readAll(log, output)).length === 1, 60_000);
    expect((await desk.list({ state: 'open' })).items).toEqual([]);
  }, 120_000);

  test('what failed behind a repartition topic goes back to that topic, which is private already', async () => {
    const { desk, log } = await rig([]);
    await produce(log, input, [{ key: 'k', value: 'late' }]);
    await until('it failed', async () => (await readAll(log, dlq)).length === 1, 60_000);
    const [letter] = (await desk.list({})).items;
    expect(await desk.replay(letter?.id ?? '', 'me')).toMatchObject({ target: 'app-values-repartition' });
  }, 120_000);

  test('a discard is on record with who and why, and final', async () => {
    refused.add('bad');
    const { api, desk, log } = await rig(['bad']);
    const [letter] = (await desk.list({})).items;
    const path = `/admin/dlq/app/${letter?.id ?? ''}`;
    const discarded = await ask(api, 'POST', `${path}/discard`, { by: 'me', reason: 'a test record' });
    expect(discarded.body).toMatchObject({ state: 'discarded', by: 'me', reason: 'a test record' });
    await expect(deskOn(log).replay(letter?.id ?? '', 'you')).rejects.toMatchObject({ code: 'DEAD_LETTER_DECIDED' });
    expect((await deskOn(log).show(letter?.id ?? '')).decision).toMatchObject({ by: 'me', reason: 'a test record' });
  }, 120_000);

  test('the command line does the same, and lets no control characters through', async () => {
    refused.add('bad').add('worse');
    const { api, desk } = await rig(['bad', 'worse']);
    const [letter] = (await desk.list({})).items;
    const id = letter?.id ?? '';
    const run = async (...args: string[]): Promise<readonly [number, string]> => {
      const lines: string[] = [];
      const request = (method: 'GET' | 'POST', path: string, body?: object) => ask(api, method, path, body);
      const code = await dlqCommand(parseDlqArguments(args), {
        request,
        print: (line) => lines.push(line),
        user: 'operator',
      });
      return [code, lines.join('\n')];
    };
    const [listed, lines] = await run('list', '--state', 'open');
    expect([listed, lines]).toEqual([0, expect.stringMatching(new RegExp(`^${id} {2}open .*PROCESSING_FAILED`))]);
    expect(lines).not.toContain('\u001b');
    expect((await run('list', '--reason', 'too_hot'))[1]).toMatch(
      /^\S+ {2}open .*RECORD_INVALID:too_hot {2}indigestible$/,
    );
    expect((await run('show', id))[1]).toContain('"text": "bad"');
    expect(await run('discard', id)).toEqual([2, expect.stringContaining('--reason TEXT')]);
    expect(await run('discard', id, '--reason', 'a test')).toEqual([0, `${id}  discarded`]);
    expect(await run('replay', id, '--by', 'someone')).toEqual([1, expect.stringContaining('409')]);
    expect((await desk.show(id)).decision?.by).toBe('operator');
  }, 120_000);
});
