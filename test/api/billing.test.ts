import { afterEach, describe, expect, test } from '@jest/globals';
import { StreamError } from '../../errors.ts';
import { startMs } from '../support/billing/bench.ts';
import { account, annAndBob, openBank, post, topUp, transfer, type Bank } from './billing-bank.ts';

const banks: Bank[] = [];

afterEach(async () => {
  for (const bank of banks.splice(0)) await bank.close();
});

async function opened(opening: Promise<Bank>): Promise<Bank> {
  const bank = await opening;
  banks.push(bank);
  return bank;
}

function open(write?: () => Promise<void>): Bank {
  const bank = openBank(write);
  banks.push(bank);
  return bank;
}

describe('commands of billing', () => {
  test('are accepted at once, can be followed by their key, and show in the balance', async () => {
    const bank = await opened(annAndBob());
    const answer = await post(bank, '/transactions/transfer', transfer, { 'idempotency-key': 'key 1' });
    expect(answer).toMatchObject({
      status: 202,
      location: '/transactions/status/key%201',
      body: { status: 'processing', trackingId: 'key 1', message: 'Transaction accepted and processing' },
    });
    const before = await bank.api.inject('/transactions/status/key%201');
    expect([before.statusCode, before.json()]).toMatchObject([200, { status: 'processing', state: 'REQUESTED' }]);
    expect((await bank.api.inject('/transactions/status/key%202')).statusCode).toBe(404);
    await bank.run();
    const status = await bank.api.inject('/transactions/status/key%201');
    expect(status.json()).toMatchObject({ status: 'completed', type: 'TRANSFER', state: 'COMPLETED' });
    const steps = ['credit', 'debit', 'hold-credit', 'hold-debit'].map((step) => ({ step, outcome: 'APPLIED' }));
    expect(status.json()).toMatchObject({ steps });
    const balance = await bank.api.inject('/accounts/ann/balance');
    expect(balance.json()).toMatchObject({ balance: '7.5', available: '7.5', held: '0', currency: 'USD', version: 4 });
    expect(balance.headers['etag']).toBe('"4"');
  });

  test('that the ledger refuses are accepted, and fail with its code', async () => {
    const bank = await opened(annAndBob());
    expect(
      (
        await post(bank, '/transactions/withdraw', {
          ...transfer,
          destinationAccountId: 'external:b',
          amount: '11',
          idempotencyKey: 'w',
        })
      ).status,
    ).toBe(202);
    await bank.run();
    const status = await bank.api.inject('/transactions/status/w');
    expect(status.json()).toMatchObject({ status: 'failed', errorCode: 'insufficient_balance' });
  });

  test('a refund names the transaction by its tracking id', async () => {
    const bank = await opened(annAndBob());
    const refund = { originalTrackingId: 'fund', amount: '0.5', currency: 'USD', idempotencyKey: 'r' };
    await post(bank, '/transactions/refund', refund);
    await bank.run();
    expect((await bank.api.inject('/transactions/status/r')).json()).toMatchObject({ status: 'completed' });
    expect((await bank.api.inject('/accounts/ann/balance')).json()).toMatchObject({ balance: '10' });
  });

  test('asked for again under the same key are not written again; another one under it is refused', async () => {
    const bank = await opened(annAndBob());
    const before = bank.written.length;
    const again = await post(bank, '/transactions/topup', { ...topUp, amount: '10.5', idempotencyKey: 'fund' });
    expect(again).toMatchObject({ status: 202, replayed: 'true' });
    const other = await post(bank, '/transactions/topup', { ...topUp, amount: '11', idempotencyKey: 'fund' });
    expect([other.status, other.code]).toEqual([422, 'idempotency_key_reused']);
    expect(bank.written).toHaveLength(before);
  });

  test.each<readonly [string, Readonly<Record<string, unknown>>, number, string]>([
    ['a negative amount', { amount: '-1' }, 422, 'amount_negative'],
    ['zero', { amount: '0.00' }, 422, 'amount_zero'],
    ['NaN', { amount: 'NaN' }, 422, 'amount_invalid'],
    ['an exponent', { amount: '1e3' }, 422, 'amount_invalid'],
    ['a ninth decimal', { amount: '1.000000001' }, 422, 'amount_precision'],
    ['a thirteenth digit', { amount: '1000000000000' }, 422, 'amount_overflow'],
    ['a number instead of text', { amount: 1 }, 400, 'request_invalid'],
    ['one account twice', { destinationAccountId: 'ann' }, 422, 'same_account'],
    [
      'two unbounded accounts',
      { sourceAccountId: 'external:a', destinationAccountId: 'system:b' },
      422,
      'unbounded_accounts',
    ],
    ['a stripe', { sourceAccountId: 'transit:USD#0' }, 422, 'account_invalid'],
    ['no currency', { currency: 'usd' }, 422, 'currency_invalid'],
    ['no key', { idempotencyKey: undefined }, 400, 'idempotency_key_missing'],
    ['a key that is no text line', { idempotencyKey: 'a\nb' }, 400, 'request_invalid'],
    ['something unknown', { limit: '1' }, 400, 'request_invalid'],
  ])('%s is refused with its own code, and nothing is written', async (_what, change, status, code) => {
    const bank = open();
    const answer = await post(bank, '/transactions/transfer', { ...transfer, idempotencyKey: 'k', ...change });
    expect([answer.status, answer.code]).toEqual([status, code]);
    expect(bank.written).toEqual([]);
  });

  test('keys in header and body must agree', async () => {
    const bank = open();
    const body = { ...transfer, idempotencyKey: 'a' };
    const answer = await post(bank, '/transactions/transfer', body, { 'idempotency-key': 'b' });
    expect([answer.status, answer.code]).toEqual([400, 'idempotency_key_mismatch']);
  });

  test('an account that is opened without an id gets one that follows from the key, by header or in bulk', async () => {
    const bank = open();
    const { accountId: _none, idempotencyKey: _key, ...terms } = account('');
    expect((await post(bank, '/accounts', terms, { 'idempotency-key': 'k' })).status).toBe(202);
    await bank.run();
    const again = await post(bank, '/transactions/bulk', {
      commands: [{ ...terms, type: 'open', idempotencyKey: 'k' }],
    });
    expect(again.body).toMatchObject({ items: [{ status: 202, isReplayed: true }] });
    const status = (await bank.api.inject('/transactions/status/k')).json<{ accounts: { accountId: string }[] }>();
    const id = status.accounts[0]?.accountId ?? '';
    expect((await bank.api.inject(`/accounts/${id}/balance`)).json()).toMatchObject({ accountId: id, balance: '0' });
  });

  test('an unbounded account cannot be opened, nor limits that are no numbers', async () => {
    const bank = open();
    expect((await post(bank, '/accounts', account('external:bank'))).code).toBe('account_invalid');
    expect((await post(bank, '/accounts', { ...account('ann'), maxBalance: 'much' })).code).toBe('amount_invalid');
    expect(bank.written).toEqual([]);
  });

  test('503 while too much waits to be worked off; what was accepted before is answered', async () => {
    const bank = open();
    const ask = (key: string, amount = '3') =>
      post(bank, '/transactions/transfer', { ...transfer, amount, idempotencyKey: key });
    await ask('before');
    bank.backlog.isTooLong = true;
    expect(await ask('k')).toMatchObject({ status: 503, code: 'backlog_too_long' });
    expect(await ask('before')).toMatchObject({ status: 202, replayed: 'true' });
    expect(await ask('before', '4')).toMatchObject({ status: 422, code: 'idempotency_key_reused' });
    bank.backlog.isTooLong = false;
    expect((await ask('k')).status).toBe(202);
  });

  test('503 while the log does not answer', async () => {
    const bank = open(async () => {
      throw new StreamError('LOG_UNAVAILABLE', 'away');
    });
    const answer = await post(bank, '/transactions/transfer', { ...transfer, idempotencyKey: 'k' });
    expect([answer.status, answer.code]).toEqual([503, 'log_unavailable']);
  });
});

test('404 for an account that was never opened', async () => {
  const response = await open().api.inject('/accounts/nobody/balance');
  expect([response.statusCode, response.json<{ code: string }>().code]).toEqual([404, 'account_not_found']);
});

describe('balances', () => {
  const start = new Date(startMs).toISOString();
  const after = (ms: number): string => new Date(startMs + ms).toISOString();

  /** Ann is opened and gets 10.5 at the start, gives 3 to Bob a minute later. */
  async function aMinuteLater(): Promise<Bank> {
    const bank = await opened(annAndBob());
    bank.pass(60_000);
    await post(bank, '/transactions/transfer', { ...transfer, idempotencyKey: 'k' });
    await bank.run();
    return bank;
  }

  test('at any instant are what they were then, and say whether that can still change', async () => {
    const bank = await aMinuteLater();
    const at = async (time: string) => (await bank.api.inject(`/accounts/ann/balance?at=${time}`)).json<object>();
    expect(await at(start)).toMatchObject({ balance: '10.5', change: '10.5', version: 2, final: true });
    expect(await at(after(59_999))).toMatchObject({ balance: '10.5', final: true });
    expect(await at(after(60_000))).toMatchObject({ balance: '7.5', change: '-3', final: false });
    expect(await at(after(1e9))).toMatchObject({ balance: '7.5', final: false });
    const before = await bank.api.inject(`/accounts/ann/balance?at=${after(-1)}`);
    expect(before.json()).toMatchObject({ status: 404, code: 'account_not_found' });
    const nonsense = await bank.api.inject('/accounts/ann/balance?at=yesterday');
    expect(nonsense.json()).toMatchObject({ status: 400, code: 'query_invalid' });
  });

  test('have a history, the latest first, page by page', async () => {
    const bank = await aMinuteLater();
    const first = await bank.api.inject('/accounts/ann/history?limit=2');
    const { items, next } = first.json<{ items: readonly object[]; next: string }>();
    expect(items).toMatchObject([
      { version: 4, balance: '7.5', change: '-3' },
      { version: 2, balance: '10.5', change: '10.5' },
    ]);
    const second = await bank.api.inject(`/accounts/ann/history?limit=2&cursor=${encodeURIComponent(next)}`);
    expect(second.json()).toMatchObject({ items: [{ version: 1, balance: '0', change: '0' }] });
    const during = async (period: string) =>
      (await bank.api.inject(`/accounts/ann/history?${period}`)).json<{ items: { version: number }[] }>().items;
    expect(await during(`from=${after(1)}`)).toMatchObject([{ version: 4 }]);
    expect(await during(`from=${start}&to=${after(1)}`)).toMatchObject([{ version: 2 }, { version: 1 }]);
    expect(await during(`to=${start}`)).toEqual([]);
    expect((await bank.api.inject('/accounts/nobody/history')).statusCode).toBe(404);
  });

  test('of an unbounded account are what its stripes add up to', async () => {
    const bank = await aMinuteLater();
    await post(bank, '/transactions/topup', {
      ...topUp,
      destinationAccountId: 'bob',
      amount: '1',
      idempotencyKey: 'more',
    });
    await bank.run();
    const stripes = await bank.api.inject('/accounts/external:bank/stripes');
    expect(stripes.json()).toEqual({ accountId: 'external:bank', balances: [{ currency: 'USD', balance: '-11.5' }] });
    expect((await bank.api.inject('/accounts/external:none/stripes')).json()).toMatchObject({ balances: [] });
    expect((await bank.api.inject('/accounts/ann/stripes')).statusCode).toBe(404);
  });

  test('of days make statements: what one closes with, the next one opens with', async () => {
    const bank = await aMinuteLater();
    bank.pass(2 * 86_400_000);
    await post(bank, '/transactions/transfer', { ...transfer, amount: '4.25', idempotencyKey: 'later' });
    await post(bank, '/transactions/topup', { ...topUp, amount: '1', idempotencyKey: 'more' });
    await bank.run();
    const daily = await bank.api.inject('/accounts/ann/daily?from=2026-01-01&to=2026-01-31');
    expect(daily.json()).toEqual({
      items: [
        { day: '2026-01-03', currency: 'USD', opening: '7.5', credits: '1', debits: '4.25', closing: '4.25', count: 2 },
        { day: '2026-01-01', currency: 'USD', opening: '0', credits: '10.5', debits: '3', closing: '7.5', count: 2 },
      ],
    });
    expect((await bank.api.inject('/accounts/ann/daily?from=2026-01-02')).json()).toEqual({ items: [] });
    expect((await bank.api.inject('/accounts/nobody/daily?from=2026-01-02')).statusCode).toBe(404);
  });

  test('of a day add up by currency and type', async () => {
    const bank = await aMinuteLater();
    const day = start.slice(0, 10);
    const transfers = { day, currency: 'USD', type: 'TRANSFER', amount: '3', count: 1 };
    const daily = await bank.api.inject(`/analytics/daily?from=${day}`);
    expect(daily.json()).toEqual({
      items: [transfers, { day, currency: 'USD', type: 'TOPUP', amount: '10.5', count: 1 }],
    });
    const some = await bank.api.inject(`/analytics/daily?from=2025-12-01&to=${day}&currency=USD&type=TRANSFER`);
    expect(some.json()).toEqual({ items: [transfers] });
    expect((await bank.api.inject(`/analytics/daily?from=2025-12-01&to=2025-12-31`)).json()).toEqual({ items: [] });
  });

  test('of days make a trend: sums of 7 and 28 days, and the change from the day before', async () => {
    const bank = await aMinuteLater();
    bank.pass(8 * 86_400_000);
    await post(bank, '/transactions/transfer', { ...transfer, amount: '4.25', idempotencyKey: 'later' });
    await bank.run();
    const trend = await bank.api.inject('/analytics/trends?from=2026-01-07&to=2026-01-10&type=TRANSFER');
    const kind = { currency: 'USD', type: 'TRANSFER' };
    expect(trend.json()).toEqual({
      items: [
        { day: '2026-01-10', ...kind, amount: '0', days7: '4.25', days28: '7.25', change: '-4.25' },
        { day: '2026-01-09', ...kind, amount: '4.25', days7: '4.25', days28: '7.25', change: '4.25' },
        { day: '2026-01-08', ...kind, amount: '0', days7: '0', days28: '3', change: '0' },
        { day: '2026-01-07', ...kind, amount: '0', days7: '3', days28: '3', change: '0' },
      ],
    });
  });

  test.each([
    ['no day', '', 400, 'request_invalid'],
    ['a day that is none', 'from=2026-13-01', 400, 'query_invalid'],
    ['days in the wrong order', 'from=2026-01-02&to=2026-01-01', 400, 'query_invalid'],
    ['more than a year', 'from=2024-01-01&to=2026-01-01', 422, 'range_too_long'],
  ])('of %s are refused', async (_what, query, status, code) => {
    for (const route of ['/analytics/daily', '/analytics/trends', '/accounts/ann/daily']) {
      const answer = await open().api.inject(`${route}?${query}`);
      expect([answer.statusCode, answer.json<{ code: string }>().code]).toEqual([status, code]);
    }
  });
});

describe('PATCH /accounts/:id', () => {
  const patch = async ({ api }: Bank, payload: object, headers: Readonly<Record<string, string>> = {}) => {
    const response = await api.inject({ method: 'PATCH', url: '/accounts/ann', payload, headers });
    return [response.statusCode, response.json<{ code?: string }>().code];
  };
  const status = async ({ api }: Bank, key: string) =>
    (await api.inject(`/transactions/status/${key}`)).json<{ status: string; errorCode?: string }>();

  test('changes the account that the client has seen, and only that', async () => {
    const bank = await opened(annAndBob());
    const { etag = '' } = (await bank.api.inject('/accounts/ann/balance')).headers;
    const headers = { 'if-match': etag };
    expect(await patch(bank, { status: 'FROZEN', idempotencyKey: 'f' }, headers)).toEqual([202, undefined]);
    await bank.run();
    expect(await status(bank, 'f')).toMatchObject({ status: 'completed' });
    await patch(bank, { maxBalance: '100', idempotencyKey: 'l' }, headers);
    await post(bank, '/transactions/topup', { ...topUp, idempotencyKey: 't' });
    await bank.run();
    expect(await status(bank, 'l')).toMatchObject({ status: 'failed', errorCode: 'version_conflict' });
    expect(await status(bank, 't')).toMatchObject({ status: 'failed', errorCode: 'account_frozen' });
  });

  test.each<readonly [string, object, string, number, string]>([
    ['no version', { status: 'FROZEN' }, '', 428, 'if_match_missing'],
    ['nothing', {}, '"1"', 422, 'change_invalid'],
    ['status and limits at once', { status: 'CLOSED', maxBalance: '1' }, '"1"', 422, 'change_invalid'],
    ['a limit that is none', { maxBalance: '1e3' }, '"1"', 422, 'amount_invalid'],
    ['a status that is none', { status: 'GONE' }, '"1"', 400, 'request_invalid'],
  ])('is refused with %s', async (_what, payload, version, code, problem) => {
    const bank = open();
    const headers = version === '' ? {} : { 'if-match': version };
    expect(await patch(bank, { ...payload, idempotencyKey: 'k' }, headers)).toEqual([code, problem]);
    expect(bank.written).toEqual([]);
  });
});
