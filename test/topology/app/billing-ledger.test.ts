import { afterEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { accounts, appliedCommands, holds, stripes } from '../../../processors/app/billing/ledger-processor.ts';
import type { LedgerCommand } from '../../../schemas/app/billing/ledger-command.ts';
import { billingTopics } from '../../../schemas/app/billing/topics.ts';
import { billingLedger } from '../../../topology/app/billing-ledger.ts';
import { TestDriver } from '../../../topology/runtime/driver.ts';
import { Auditor } from '../../support/billing/auditor.ts';
import { commandSequences, money, reasonsOf, userTerms } from '../../support/billing/commands.ts';
import { ReferenceLedger } from '../../support/billing/reference-ledger.ts';

const topics = billingTopics();
const timestampMs = 1_767_225_600_000;
const drivers: TestDriver[] = [];

afterEach(() => {
  for (const driver of drivers.splice(0)) driver.close();
});

function open(partitions = 1): TestDriver {
  const driver = new TestDriver(billingLedger(), { partitions, wallClockMs: timestampMs });
  drivers.push(driver);
  return driver;
}

const give = (driver: TestDriver, command: LedgerCommand): void =>
  driver.pipe(topics.commands, command.accountId, command);

const base = { txId: 't1', accountId: 'ann', effectiveAt: 1 };
const opening: LedgerCommand = { ...base, commandId: 'open', kind: 'OPEN', terms: userTerms };
const topUp: LedgerCommand = {
  ...base,
  commandId: 'top-up',
  kind: 'POST_CREDIT',
  amount: money('10'),
  currency: 'USD',
  counter: 'external:bank',
};

describe('the ledger, run as a topology', () => {
  it('I-M1, I-M3, I-M4, I-M6, I-M8: answers as the reference does, and every prefix of its events is sound, whatever comes in whatever order, and twice', () => {
    fc.assert(
      fc.property(commandSequences, fc.integer({ min: 1, max: 3 }), (commands, partitions) => {
        const driver = open(partitions);
        const reference = new ReferenceLedger();
        const auditor = new Auditor();
        for (const command of commands) {
          give(driver, command);
          for (const { value } of driver.read(topics.accountEvents)) auditor.watch(value!);
          const results = driver.read(topics.results).map(({ value }) => value!);
          expect(results.map(({ outcome, code }) => (outcome === 'APPLIED' ? 'ok' : code))).toEqual([
            reference.answer(command),
          ]);
        }
        for (const [accountId, { balance }] of auditor.accounts) expect(balance).toBe(reference.balance(accountId));
        expect(driver.read(topics.deadLetter)).toEqual([]);
        driver.close();
      }),
      { numRuns: 40 },
    );
  });

  it('I-M8: what is kept is the fold of the events', async () => {
    const driver = open(2);
    const auditor = new Auditor();
    for (const commands of fc.sample(commandSequences, { numRuns: 1, seed: 7 }))
      for (const command of commands) give(driver, command);
    for (const { value } of driver.read(topics.accountEvents)) auditor.watch(value!);
    const kept = new Map((await driver.rows(accounts)).map(({ key, value }) => [key, value.posted]));
    expect(kept).toEqual(new Map([...auditor.accounts].map(([id, { balance }]) => [id, balance])));
    const rows = await driver.rows(stripes);
    const stripesSeen = [...auditor.balances].filter(([name]) => name.includes('#'));
    expect(new Map(rows.map(({ key, value }) => [key, value]))).toEqual(new Map(stripesSeen));
    expect((await driver.rows(holds)).map(({ value }) => value.holdId).sort()).toEqual(
      [...auditor.holds.keys()].sort(),
    );
  });

  it('carries a command out once, and answers every attempt alike', async () => {
    const driver = open();
    give(driver, opening);
    for (let attempt = 0; attempt < 3; attempt += 1) give(driver, topUp);
    expect(driver.read(topics.accountEvents).map(({ value }) => value?.type)).toEqual([
      'AccountCreated',
      'BalanceChanged',
    ]);
    const answers = driver.read(topics.results).map(({ value }) => value);
    expect(answers.slice(2)).toEqual([answers[1], answers[1]]);
    expect(driver.drops().get('duplicate')).toBe(2);
    expect(await driver.rows(appliedCommands)).toHaveLength(2);
  });

  it('refuses another command under a known id, and leaves the first as it was', () => {
    const driver = open();
    give(driver, opening);
    give(driver, topUp);
    give(driver, { ...topUp, amount: money('11') });
    give(driver, topUp);
    const answers = driver.read(topics.results).map(({ value }) => value);
    expect(answers[2]).toMatchObject({ outcome: 'REJECTED', code: 'command_id_reused' });
    expect(answers[3]).toEqual(answers[1]);
    expect(driver.read(topics.accountEvents)).toHaveLength(2);
  });

  it('a refused command stays refused, also when it could be carried out by now', () => {
    const driver = open();
    give(driver, opening);
    const withdrawal: LedgerCommand = { ...topUp, commandId: 'withdrawal', kind: 'POST_DEBIT' };
    for (const command of [withdrawal, topUp, withdrawal]) give(driver, command);
    expect(driver.read(topics.results).map(({ value }) => value?.code ?? 'ok')).toEqual([
      'ok',
      'insufficient_balance',
      'ok',
      'insufficient_balance',
    ]);
  });

  it('a frozen account takes nothing new but finishes what it promised', () => {
    const driver = open();
    const hold: LedgerCommand = { ...base, commandId: 'h', kind: 'HOLD_DEBIT', amount: money('4'), currency: 'USD' };
    for (const command of [
      opening,
      topUp,
      hold,
      { ...base, commandId: 'f', kind: 'FREEZE' },
      { ...topUp, commandId: 'more' },
      { ...base, commandId: 'p', kind: 'POST_DEBIT', holdId: 'h', counter: 'transit' },
    ] as const)
      give(driver, command);
    expect(driver.read(topics.results).map(({ value }) => value?.code ?? 'ok')).toEqual([
      'ok',
      'ok',
      'ok',
      'ok',
      'account_frozen',
      'ok',
    ]);
    expect(driver.read(topics.accountEvents).at(-1)?.value).toMatchObject({
      type: 'BalanceChanged',
      reason: 'AccountDebited',
      balanceBefore: money('10'),
      balanceAfter: money('6'),
      heldDebit: 0n,
      postings: [
        { account: 'ann', amount: -money('4') },
        { account: 'transit:USD#0', amount: money('4') },
      ],
    });
  });

  it('limits: those that the balance or its holds already break are refused, others count from now on', () => {
    const driver = open();
    const limits = (commandId: string, maxBalance: string): LedgerCommand => ({
      ...base,
      commandId,
      kind: 'SET_LIMITS',
      maxBalance: money(maxBalance),
    });
    for (const command of [opening, topUp, limits('a', '9'), limits('b', '15'), { ...topUp, commandId: 'again' }])
      give(driver, command);
    give(driver, { ...limits('c', '20'), expectedVersion: 2 });
    expect(driver.read(topics.results).map(({ value }) => value?.code ?? 'ok')).toEqual([
      'ok',
      'ok',
      'limits_broken',
      'ok',
      'balance_limit_exceeded',
      'version_conflict',
    ]);
  });

  it('dead-letters what is no command, what comes under a foreign key, and what claims a time that nobody can count in microseconds', () => {
    const driver = open();
    driver.pipe(topics.commands, 'bob', opening);
    driver.pipeBytes(topics.commands.name, Buffer.from('ann'), Buffer.from('{"kind":"MINT"}'));
    driver.pipeBytes(topics.commands.name, Buffer.from('ann'), undefined);
    driver.pipe(topics.commands, 'ann', opening, { timestampMs: timestampMs * 1_000 });
    const reasons = ['key_mismatch', 'field_invalid', 'value_missing', 'TIMESTAMP_INVALID'];
    expect(reasonsOf(driver.read(topics.deadLetter))).toEqual(reasons);
    expect(driver.producedTopics()).toEqual([]);
  });

  it('names its cause in the headers and passes the correlation on', () => {
    const driver = open();
    const headers = [{ key: 'correlationId', value: Buffer.from('c-1') }];
    driver.pipe(topics.commands, 'ann', opening, { headers });
    const [event] = driver.read(topics.accountEvents);
    const told = new Map(event?.headers.map(({ key, value }) => [key, Buffer.from(value ?? []).toString()]));
    expect(Object.fromEntries(told)).toEqual({
      correlationId: 'c-1',
      eventType: 'AccountCreated',
      eventVersion: '1',
      eventId: event?.value?.eventId,
      causationId: 'open',
    });
  });
});
