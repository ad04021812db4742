import { afterEach, expect, test } from '@jest/globals';
import { txIdOf } from '../../api/app/billing-accept.ts';
import { annAndBob, openBank, post, transfer, type Bank } from './billing-bank.ts';

const banks: Bank[] = [];

afterEach(async () => {
  for (const bank of banks.splice(0)) await bank.close();
});

interface Listed {
  readonly items: readonly {
    readonly transactionId: string;
    readonly state: string;
    readonly wakesAt: string | null;
  }[];
  readonly next: string | null;
}

async function listed({ api }: Bank, query = ''): Promise<Listed> {
  const answer = await api.inject(`/admin/sagas?${query}`);
  expect(answer.statusCode).toBe(200);
  return answer.json<Listed>();
}

/** By `key`, which nobody has answered yet. */
async function askForTransfer(bank: Bank, key: string): Promise<void> {
  bank.pass(10);
  await post(bank, '/transactions/transfer', { ...transfer, idempotencyKey: key });
  await bank.run(true);
}

/** One that has passed its pivot, one that has not, and one that is stuck: neither hold could be given back. */
async function threeTransfers(): Promise<Bank> {
  const bank = await annAndBob();
  banks.push(bank);
  await askForTransfer(bank, 'debiting');
  bank.bench.carry();
  await askForTransfer(bank, 'holding');
  await askForTransfer(bank, 'stuck');
  bank.bench.carryOne('HOLD_DEBIT');
  bank.bench.refuse('HOLD_CREDIT');
  bank.bench.refuse('VOID');
  await bank.run(true);
  return bank;
}

const [debiting, holding, stuck] = [
  {
    transactionId: txIdOf('debiting'),
    state: 'DEBITING',
    wakesAt: expect.stringMatching(/^2026-01-01T00:00:30.01/) as unknown,
  },
  {
    transactionId: txIdOf('holding'),
    state: 'HOLDING',
    wakesAt: expect.stringMatching(/^2026-01-01T00:00:30.02/) as unknown,
  },
  { transactionId: txIdOf('stuck'), state: 'STUCK', wakesAt: null },
];

test('sagas that wait are listed, the longest waiting first, then those that are stuck', async () => {
  const bank = await threeTransfers();
  expect(await listed(bank)).toEqual({ items: [debiting, holding, stuck], next: null });
});

test.each([
  ['DEBITING', [debiting]],
  ['HOLDING', [holding]],
  ['STUCK', [stuck]],
  ['RELEASING', []],
  ['COMPLETED', []],
])('those that are %s are listed alone', async (state, items) => {
  expect(await listed(await threeTransfers(), `state=${state}`)).toEqual({ items, next: null });
});

test('a state that could be none is refused', async () => {
  const bank = await threeTransfers();
  for (const state of ['', 'stuck', 'A'.repeat(41)]) {
    const answer = await bank.api.inject(`/admin/sagas?state=${state}`);
    expect([answer.statusCode, answer.json<{ code: string }>().code]).toEqual([400, 'request_invalid']);
  }
});

test.each([
  ['limit=2', [[debiting, holding], [stuck]]],
  ['limit=1&state=HOLDING', [[], [holding]]],
  ['limit=1&state=STUCK', [[stuck]]],
])('page by page (%s) each row is looked at once, also those that are left out', async (query, expected) => {
  const bank = await threeTransfers();
  const pages: Listed[] = [await listed(bank, query)];
  for (let next = pages[0]?.next; typeof next === 'string'; next = pages.at(-1)?.next)
    pages.push(await listed(bank, `${query}&cursor=${encodeURIComponent(next)}`));
  expect(pages.map(({ items }) => items)).toEqual(expected);
});

test('how many are stuck is told to Prometheus, by the state in which they got stuck', async () => {
  const bank = await threeTransfers();
  const { body } = await bank.api.inject('/metrics');
  expect(body).toContain('# TYPE saga_stuck_total gauge');
  expect(body).toContain('saga_stuck_total{state="RELEASING"} 1');
  expect(body.match(/^saga_stuck_total/gm)).toHaveLength(1);
});

test('one that waits can be told to send again', async () => {
  const bank = await annAndBob();
  banks.push(bank);
  await askForTransfer(bank, 'k');
  const answer = await post(bank, `/admin/sagas/${txIdOf('k')}/redrive`, {});
  expect(answer).toMatchObject({ status: 202, body: { state: 'HOLDING' } });
  expect(bank.written.at(-1)).toEqual({ type: 'REDRIVE', txId: txIdOf('k') });
  await bank.run();
  expect((await bank.api.inject('/transactions/status/k')).json()).toMatchObject({ status: 'completed' });
  expect(await listed(bank)).toEqual({ items: [], next: null });
});

test('404 for one that does not exist', async () => {
  const bank = openBank();
  banks.push(bank);
  const answer = await post(bank, '/admin/sagas/none/redrive', {});
  expect([answer.status, answer.code]).toEqual([404, 'transaction_not_found']);
});
