import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Request } from '../../commands/api-client.ts';
import { historyCommand } from '../../commands/history.ts';
import { openBank, type Bank } from '../api/billing-bank.ts';
import { hurriedClock } from '../api/fake-instance.ts';

const accounts = `account_id,owner_id,owner_type,account_type,currency,max_balance,balance
ann,o1,USER,wallet,USD,50,69.99999999
bob,o2,USER,wallet,USD,,30.00000001
`;
const head = 'transaction_id,source_account_id,destination_account_id,amount,currency,status,created_at,completed_at';
const transactions = `${head}
t-1,external:bank,ann,100.00000000,USD,COMPLETED,2024-01-01T10:00:00Z,2024-01-01T10:00:05.123456Z
t-2,ann,bob,30.00000001,USD,completed,2024-02-01 09:00:00+01,
`;

let bank: Bank;
let files: Record<string, string>;
let printed: string[];
let sent: number;
/** Requests that get no answer, counted from the first. */
let unanswered: readonly number[];

beforeEach(() => {
  bank = openBank();
  files = { 'a.csv': accounts, 't.csv': transactions };
  sent = 0;
  unanswered = [];
});

afterEach(async () => {
  await bank.close();
});

/** As an application that has carried out what it accepted by the time it is asked again. */
const request: Request = async (method, path, payload) => {
  const answer = await bank.api.inject({ method, url: path, ...(payload === undefined ? {} : { payload }) });
  if (method === 'POST') await bank.run();
  sent += 1;
  if (unanswered.includes(sent)) return { status: 0, body: { detail: 'nobody' } };
  return { status: answer.statusCode, body: answer.json() };
};

async function run(...args: readonly string[]): Promise<number> {
  printed = [];
  async function* openFile(path: string): AsyncGenerator<string> {
    const text = files[path];
    if (text === undefined) throw new Error('ENOENT');
    yield text;
  }
  const print = (line: string): unknown => printed.push(line);
  return await historyCommand(args, { request, print, clock: hurriedClock, openFile, database: undefined });
}

const report = (): unknown => JSON.parse(printed.at(-1) ?? '');
const both = ['--accounts', 'a.csv', '--transactions', 't.csv'];
const get = async (path: string) => (await bank.api.inject(path)).json<Record<string, unknown>>();

describe('history that happened elsewhere', () => {
  test('is taken over beyond limits, with its ids and its dates, to the last balance', async () => {
    expect([await run(...both), printed]).toEqual([0, [expect.anything()]]);
    expect(report()).toEqual({
      total: 2,
      imported: 2,
      already: 0,
      failed: 0,
      accounts: 2,
      accountsFailed: 0,
      differences: 0,
    });
    expect(await get('/accounts/ann/balance')).toMatchObject({ balance: '69.99999999', held: '0' });
    expect(await get('/transactions/status/t-1')).toMatchObject({ type: 'IMPORT', status: 'completed' });
    const { items } = await get('/accounts/ann/transactions?type=IMPORT');
    expect(items).toMatchObject([
      { trackingId: 't-2', reference: 't-2', amount: '-30.00000001', requestedAt: '2024-02-01T08:00:00.000000Z' },
      { requestedAt: '2024-01-01T10:00:00.000000Z', effectiveAt: '2024-01-01T10:00:05.123456Z' },
    ]);
    expect(await get('/accounts/ann/balance?at=2024-01-15T00:00:00Z&basis=effective')).toMatchObject({
      balance: '100',
    });
  });

  test('is taken over once, however often', async () => {
    expect(await run(...both)).toBe(0);
    const written = bank.written.length;
    expect(await run(...both)).toBe(0);
    expect(report()).toMatchObject({ total: 2, imported: 0, already: 2, failed: 0, differences: 0 });
    expect(bank.written).toHaveLength(written);
  });

  test('is asked for again where no answer came, and then happens once', async () => {
    unanswered = [1, 3, 5];
    expect(await run(...both)).toBe(0);
    expect(report()).toMatchObject({ total: 2, failed: 0, differences: 0 });
    expect(await get('/accounts/bob/balance')).toMatchObject({ balance: '30.00000001' });
  });

  test('has to add up: a balance that is not as the source says is told, and nothing is corrected', async () => {
    files['a.csv'] = accounts.replace('69.99999999', '70');
    expect(await run(...both)).toBe(1);
    expect(printed[0]).toBe('ann: the balance is 69.99999999, the source says 70');
    expect(report()).toMatchObject({ imported: 2, differences: 1 });
  });

  test('is refused row by row where the ledger refuses it, and then the sum of the rows is not there', async () => {
    expect(await run('--transactions', 't.csv')).toBe(1);
    expect(printed).toEqual([
      'transactions line 2: account_not_found: the transaction has failed, and moved nothing',
      'transactions line 3: account_not_found: the transaction has failed, and moved nothing',
      'ann: there is no such account, the source says 69.99999999',
      'bob: there is no such account, the source says 30.00000001',
      expect.anything(),
    ]);
    expect(report()).toMatchObject({ total: 2, imported: 0, failed: 2, differences: 2 });
  });

  test('cannot change: another transaction under a known id is refused', async () => {
    expect(await run(...both)).toBe(0);
    files['t.csv'] = transactions.replace('30.00000001,', '30.00000002,');
    files['a.csv'] = accounts.replace('69.99999999', '69.99999998');
    expect(await run(...both)).toBe(1);
    expect(printed[0]).toMatch(/^transactions line 3: idempotency_key_reused/);
    expect(await get('/accounts/ann/balance')).toMatchObject({ balance: '69.99999999' });
  });

  test('is only looked through in a dry run', async () => {
    expect(await run(...both, '--dry-run')).toBe(0);
    expect(report()).toMatchObject({ total: 2, imported: 0, bad: 0, accounts: 2 });
    expect([sent, bank.written]).toEqual([0, []]);
  });

  const row = 't-3,ann,bob,1,USD,COMPLETED,2024-01-01T10:00:00Z,';
  test.each([
    ['a ninth decimal', row.replace(',1,', ',1.000000001,'), 'amount_precision'],
    ['a ninth decimal of zero', row.replace(',1,', ',1.000000000,'), 'amount_precision'],
    ['an exponent', row.replace(',1,', ',1e3,'), 'amount_invalid'],
    ['a negative amount', row.replace(',1,', ',-1,'), 'amount_negative'],
    ['nothing', row.replace(',1,', ',0,'), 'amount_zero'],
    ['no amount', row.replace(',1,', ',,'), 'field_missing'],
    ['a thirteenth digit', row.replace(',1,', ',1000000000000,'), 'amount_overflow'],
    ['the same account twice', row.replace('bob', 'ann'), 'same_account'],
    ['no account', row.replace('bob', 'b ob'), 'account_invalid'],
    ['unbounded accounts on both sides', row.replace('ann,bob', 'external:a,system:b'), 'unbounded_accounts'],
    ['no currency', row.replace('USD', 'usd'), 'currency_invalid'],
    ['no instant', row.replace('2024-01-01T10:00:00Z', 'yesterday'), 'effective_at_invalid'],
    ['no id', row.replace('t-3', ''), 'field_missing'],
    ['an id that is too long', row.replace('t-3', 't'.repeat(201)), 'field_too_long'],
    ['what never completed', row.replace('COMPLETED', 'FAILED'), 'status_not_completed'],
    ['too few fields', 't-3,ann', 'row_invalid'],
  ])('with %s is refused as a whole, by line and code, before anything is sent', async (_what, line, code) => {
    files['t.csv'] = `${transactions}${line}\n`;
    expect(await run(...both)).toBe(1);
    expect(printed[0]).toMatch(new RegExp(`^transactions line 4: ${code}: `));
    expect(report()).toMatchObject({ total: 3, imported: 0, bad: 1 });
    expect([sent, bank.written]).toEqual([0, []]);
  });

  test('with accounts that make no sense is refused likewise', async () => {
    files['a.csv'] = accounts.replace('o1,USER', 'o1,ROBOT').replace('30.00000001', '3e1');
    expect(await run(...both)).toBe(1);
    expect(printed.slice(0, 2)).toEqual([
      expect.stringMatching(/^accounts line 2: field_invalid: ownerType/),
      expect.stringMatching(/^accounts line 3: amount_invalid: /),
    ]);
    expect(bank.written).toEqual([]);
  });

  test('may be JSON lines; accounts that are there need only say their balance', async () => {
    expect(await run(...both)).toBe(0);
    files['t.jsonl'] =
      '{"transactionId":"t-9","idempotencyKey":"k-9","sourceAccountId":"bob","destinationAccountId":"external:x","amount":"0.00000001","currency":"USD","createdAt":"2024-03-01"}';
    files['a.jsonl'] = '{"account_id":"bob","balance":"30","currency":"USD"}';
    expect(await run('--transactions', 't.jsonl', '--accounts', 'a.jsonl')).toBe(0);
    expect(report()).toMatchObject({ total: 1, imported: 1, differences: 0 });
    expect(await get('/transactions/status/k-9')).toMatchObject({ status: 'completed' });
  });

  test('needs a source that can be read', async () => {
    expect(await run('--transactions', 'missing.csv')).toBe(1);
    expect(printed).toEqual(['CONFIG_INVALID: missing.csv cannot be read']);
    expect(await run('--transactions', 'table:old.transactions')).toBe(1);
    expect(printed[0]).toMatch(/^CONFIG_INVALID: set HISTORY_POSTGRES_URL/);
    for (const args of [[], ['--transactions', 't.xml'], ['--transactions', 'table:a;b'], ['--force']])
      expect(await run(...args)).toBe(2);
  });
});
