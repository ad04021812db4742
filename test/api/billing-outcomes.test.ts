import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { billingTopics } from '../../schemas/app/billing/topics.ts';
import { startMs } from '../support/billing/bench.ts';
import { until } from '../support/cluster.ts';
import { account, annAndBob, post, topUp, transfer, type Bank } from './billing-bank.ts';

let bank: Bank;

beforeEach(async () => {
  bank = await annAndBob();
});

afterEach(async () => {
  await bank.close();
});

/** Asks and waits; billing does its part once the request is written. */
async function waiting(url: string, payload: Readonly<Record<string, unknown>>) {
  const before = bank.written.length;
  const asked = post(bank, `${url}?wait=10000`, payload);
  await until('the request is written', () => bank.written.length > before);
  await bank.run();
  return await asked;
}

const at = (ms: number): string => new Date(startMs + ms).toISOString();

describe('whoever waits', () => {
  test('is answered with what became of the transaction', async () => {
    const answer = await waiting('/transactions/transfer', { ...transfer, idempotencyKey: 'k' });
    expect(answer).toMatchObject({
      status: 200,
      location: '/transactions/status/k',
      body: {
        status: 'completed',
        trackingId: 'k',
        accounts: [
          { accountId: 'ann', balanceBefore: '10.5', balanceAfter: '7.5', token: 'ann@4' },
          { accountId: 'bob', balanceBefore: '0', balanceAfter: '3', token: 'bob@3' },
        ],
      },
    });
  });

  test('is told that it goes on when that takes longer, and finds it by its key', async () => {
    const answer = await post(bank, '/transactions/transfer?wait=20', { ...transfer, idempotencyKey: 'k' });
    expect(answer).toMatchObject({ status: 202, location: '/transactions/status/k', body: { status: 'processing' } });
    const status = bank.api.inject('/transactions/status/k?wait=10000');
    await bank.run();
    expect((await status).json()).toMatchObject({ status: 'completed' });
  });

  test.each<readonly [string, string, Readonly<Record<string, unknown>>, number, string]>([
    ['more than there is', 'transfer', { ...transfer, amount: '11' }, 422, 'insufficient_balance'],
    ['an account that nobody opened', 'transfer', { ...transfer, destinationAccountId: 'x' }, 422, 'account_not_found'],
    ['another currency', 'transfer', { ...transfer, currency: 'EUR' }, 422, 'currency_mismatch'],
    [
      'a refund of nothing',
      'refund',
      { originalTrackingId: 'none', amount: '1', currency: 'USD' },
      422,
      'original_not_found',
    ],
  ])('for %s is answered with its code, and nothing has moved', async (_what, kind, body, status, code) => {
    const answer = await waiting(`/transactions/${kind}`, { ...body, idempotencyKey: 'k' });
    expect([answer.status, answer.code]).toEqual([status, code]);
    const balance = (await bank.api.inject('/accounts/ann/balance')).json<object>();
    expect(balance).toMatchObject({ balance: '10.5', held: '0' });
  });

  test('is told of conflicts: an account that is there, a version that has passed', async () => {
    const again = await waiting('/accounts', { ...account('ann'), idempotencyKey: 'again' });
    expect([again.status, again.code]).toEqual([409, 'account_exists']);
    const before = bank.written.length;
    const patched = bank.api.inject({
      method: 'PATCH',
      url: '/accounts/ann?wait=10000',
      payload: { status: 'FROZEN', idempotencyKey: 'f' },
      headers: { 'if-match': '"1"' },
    });
    await until('the request is written', () => bank.written.length > before);
    await bank.run();
    const { statusCode, body } = await patched;
    expect([statusCode, (JSON.parse(body) as { code: string }).code]).toEqual([412, 'version_conflict']);
  });

  test('learns at once that the key went to another request a moment ago', async () => {
    const first = await post(bank, '/transactions/transfer', { ...transfer, idempotencyKey: 'k' });
    const url = '/transactions/transfer?wait=10000';
    const second = await post(bank, url, { ...transfer, amount: '4', idempotencyKey: 'k' });
    expect(first.status).toBe(202);
    expect([second.status, second.code]).toEqual([422, 'idempotency_key_reused']);
  });

  test.each(['10001', '-1', 'long'])('waits neither for ever nor for %s', async (wait) => {
    const answer = await post(bank, `/transactions/transfer?wait=${wait}`, { ...transfer, idempotencyKey: 'k' });
    expect(answer.status).toBe(400);
  });
});

describe('reading what one has written', () => {
  test('the position of a request is that of its record, for whoever asks for the status next', async () => {
    const headers = { 'idempotency-key': 'k' };
    const response = await bank.api.inject({
      method: 'POST',
      url: '/transactions/transfer',
      payload: transfer,
      headers,
    });
    expect(response.headers['x-position']).toBe(`billing.requests/0=${String(bank.written.length)}`);
  });

  test('a balance reflects the transaction whose token is shown, or says that it does not yet', async () => {
    await waiting('/transactions/transfer', { ...transfer, idempotencyKey: 'k' });
    const ask = async (query: string) => (await bank.api.inject(`/accounts/ann/balance?${query}`)).json<object>();
    expect(await ask('after=ann@4')).toMatchObject({ version: 4, balance: '7.5' });
    expect(await ask('after=ann@5&wait=50')).toMatchObject({ status: 503, code: 'position_not_reached' });
    const late = ask('after=ann@5&wait=10000');
    await post(bank, '/transactions/topup', { ...topUp, idempotencyKey: 'more' });
    await bank.run();
    expect(await late).toMatchObject({ version: 5, balance: '18' });
    for (const token of ['bob@1', 'ann', '5'])
      expect(await ask(`after=${token}`)).toMatchObject({ status: 400, code: 'query_invalid' });
  });
});

describe('many commands at once', () => {
  const bulk = async (commands: readonly object[]) => await post(bank, '/transactions/bulk', { commands });

  test('are accepted or refused each by itself, with its own code', async () => {
    const before = bank.written.length;
    const answer = await bulk([
      { type: 'transfer', ...transfer, idempotencyKey: 'a' },
      { type: 'transfer', ...transfer, amount: '-1', idempotencyKey: 'b' },
      { type: 'transfer', ...transfer },
      { type: 'topup', ...topUp, amount: '10.5', idempotencyKey: 'fund' },
      { type: 'topup', ...topUp, amount: '1', idempotencyKey: 'fund' },
      { type: 'transfer', ...transfer, amount: '2', idempotencyKey: 'a' },
      { type: 'refund', amount: '1', currency: 'USD', idempotencyKey: 'r' },
      { type: 'open', ...account('cid'), limit: '1' },
    ]);
    expect(answer).toMatchObject({
      status: 207,
      body: {
        items: [
          { status: 202, trackingId: 'a', location: '/transactions/status/a', isReplayed: false },
          { status: 422, code: 'amount_negative', trackingId: 'b' },
          { status: 400, code: 'idempotency_key_missing' },
          { status: 202, trackingId: 'fund', isReplayed: true },
          { status: 422, code: 'idempotency_key_reused' },
          { status: 422, code: 'idempotency_key_reused' },
          { status: 400, code: 'request_invalid', trackingId: 'r' },
          { status: 400, code: 'request_invalid' },
        ],
      },
    });
    expect(bank.written).toHaveLength(before + 1);
  });

  test('are up to 1,000', async () => {
    const commands = Array.from({ length: 1_001 }, (_, index) => ({
      ...{ type: 'topup', ...topUp },
      idempotencyKey: String(index),
    }));
    expect(await bulk(commands)).toMatchObject({ status: 400, code: 'request_invalid' });
    expect(await bulk([])).toMatchObject({ status: 400, code: 'request_invalid' });
    const all = await bulk(commands.slice(1));
    expect(all.status).toBe(207);
    expect(new Set((all.body as { items: { status: number }[] }).items.map(({ status }) => status))).toEqual(
      new Set([202]),
    );
    expect(new Set(bank.written.map(({ txId }) => txId)).size).toBe(1_003);
  });
});

describe('business dates', () => {
  const on = async (instant: string, more = '') =>
    (await bank.api.inject(`/accounts/ann/balance?basis=effective&at=${instant}${more}`)).json<object>();

  test('a balance by business date counts what belongs there, whenever it was recorded', async () => {
    bank.pass(60_000);
    const dated = { ...topUp, amount: '2', effectiveAt: at(-86_400_000), idempotencyKey: 'old' };
    expect((await waiting('/transactions/topup', dated)).status).toBe(200);
    expect(await on(at(-86_400_001))).toMatchObject({ status: 404, code: 'account_not_found' });
    expect(await on(at(-86_400_000))).toMatchObject({ balance: '2', final: false });
    expect(await on(at(-1))).toMatchObject({ balance: '2' });
    expect(await on(at(0))).toMatchObject({ balance: '12.5', version: 3 });
    const recorded = (await bank.api.inject(`/accounts/ann/balance?at=${at(59_999)}`)).json<object>();
    expect(recorded).toMatchObject({ balance: '10.5', final: true });
  });

  test.each(['yesterday', '1969-12-31T00:00:00Z', '2026-02-30'])('%s is none', async (effectiveAt) => {
    const answer = await post(bank, '/transactions/topup', { ...topUp, effectiveAt, idempotencyKey: 'k' });
    expect([answer.status, answer.code]).toEqual([422, 'effective_at_invalid']);
  });
});

describe('the transactions of an account', () => {
  const list = async (id: string, query = '') =>
    (await bank.api.inject(`/accounts/${id}/transactions${query}`)).json<{ items: object[]; next: string | null }>();

  test('are all that it takes part in, with what became of them', async () => {
    bank.pass(60_000);
    await post(bank, '/transactions/transfer', { ...transfer, idempotencyKey: 'k' });
    await post(bank, '/transactions/transfer', { ...transfer, amount: '99', idempotencyKey: 'too much' });
    await bank.run();
    const keys = (await list('ann')).items.map((item) => (item as { trackingId: string }).trackingId);
    expect(keys.sort()).toEqual(['fund', 'k', 'open-ann', 'too much']);
    expect((await list('ann', '?status=failed')).items).toMatchObject([
      { trackingId: 'too much', amount: '-99', errorCode: 'insufficient_balance', counterparty: 'bob' },
    ]);
    expect((await list('bob', '?type=TRANSFER&status=completed')).items).toMatchObject([
      { trackingId: 'k', amount: '3', counterparty: 'ann', currency: 'USD' },
    ]);
    expect((await list('ann', `?to=${at(0)}`)).items).toEqual([]);
    expect((await list('ann', `?from=${at(0)}&to=${at(1)}&type=TOPUP`)).items).toMatchObject([
      { trackingId: 'fund', amount: '10.5', counterparty: 'external:bank' },
    ]);
    expect((await bank.api.inject('/accounts/ann/transactions?from=now')).statusCode).toBe(400);
  });

  test('come the latest first, page by page', async () => {
    for (const [index, effectiveAt] of [at(0), at(1)].entries()) {
      await post(bank, '/transactions/topup', { ...topUp, effectiveAt, idempotencyKey: `t${String(index)}` });
    }
    await bank.run();
    const first = await list('ann', '?limit=3');
    const second = await list('ann', `?limit=3&cursor=${encodeURIComponent(first.next ?? '')}`);
    expect([first.items.length, second.items.length, second.next]).toEqual([3, 1, null]);
    expect(new Set([...first.items, ...second.items].map((item) => JSON.stringify(item))).size).toBe(4);
  });

  test('what they set aside is listed until they have ended', async () => {
    const hold = { commandId: 'h', txId: 't', accountId: 'ann', effectiveAt: 1, amount: 100_000_000n, currency: 'USD' };
    bank.bench.ledger.pipe(billingTopics().commands, 'ann', { ...hold, kind: 'HOLD_DEBIT' });
    await bank.run();
    const { items } = (await bank.api.inject('/accounts/ann/holds')).json<{ items: object[] }>();
    expect(items).toEqual([{ holdId: 'h', transactionId: 't', side: 'debit', amount: '1' }]);
    expect((await bank.api.inject('/accounts/bob/holds')).json()).toEqual({ items: [], next: null });
  });
});
