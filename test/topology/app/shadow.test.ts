import { describe, expect, it, test } from '@jest/globals';
import { billingTopics } from '../../../schemas/app/billing/topics.ts';
import type { TransactionEvent } from '../../../schemas/app/billing/transaction.ts';
import { shadowTopics, type ShadowResult } from '../../../schemas/app/shadow.ts';
import { shadowTallies } from '../../../processors/app/shadow/tallies.ts';
import { shadow } from '../../../topology/app/shadow.ts';
import { TestDriver } from '../../../topology/runtime/driver.ts';

const topics = shadowTopics();
const startMs = Date.UTC(2026, 0, 1);

function completed(idempotencyKey: string, atMs: number, more: Partial<TransactionEvent> = {}): TransactionEvent {
  return {
    eventId: `e-${idempotencyKey}`,
    type: 'TopupCompleted',
    txId: `t-${idempotencyKey}`,
    idempotencyKey,
    sourceAccountId: 'external:bank',
    destinationAccountId: 'user-1',
    amount: 1_050_000_000n,
    currency: 'EUR',
    destinationBalanceBefore: 0n,
    destinationBalanceAfter: 1_050_000_000n,
    effectiveAt: atMs * 1_000,
    requestedAt: atMs * 1_000,
    at: atMs * 1_000,
    ...more,
  };
}

function oldResult(correlationId: string, atMs: number, more: Partial<ShadowResult> = {}): ShadowResult {
  const balances = { sourceBalanceAfter: '-10.5', destinationBalanceBefore: '0.00', destinationBalanceAfter: '10.50' };
  const facts = { amount: '10.50', currency: 'EUR', ...balances };
  return { correlationId, side: 'old', outcome: 'completed', ...facts, at: atMs * 1_000, ...more };
}

class Shadow {
  readonly driver = new TestDriver(shadow(), { partitions: 2, wallClockMs: startMs });

  old(correlationId: string, ms: number, more: Partial<ShadowResult> = {}): void {
    const atMs = startMs + ms;
    this.driver.pipe(topics.results, correlationId, oldResult(correlationId, atMs, more), { timestampMs: atMs });
  }

  new(correlationId: string, ms: number, more: Partial<TransactionEvent> = {}): void {
    const atMs = startMs + ms;
    const event = completed(correlationId, atMs, more);
    this.driver.pipe(topics.transactionEvents, event.txId, event, { timestampMs: atMs });
  }

  /** Lets stream time pass in every partition: only records move it. */
  pass(ms: number): void {
    for (let index = 0; index < 20; index += 1) this.old(`clock-${String(index)}`, ms);
  }

  compared(): readonly (readonly [string | null, string | undefined, readonly string[] | undefined])[] {
    return this.driver
      .read(topics.comparisons)
      .filter(({ key }) => key?.startsWith('clock-') !== true)
      .map(({ key, value }) => [key, value?.outcome, value?.fields]);
  }
}

describe('the comparison of two systems', () => {
  test.each([
    ['the new one after the old one', 0, 20_000],
    ['the old one after the new one', 20_000, 0],
    ['within a minute', 0, 60_000],
  ])('matches %s: decimals in any form, and only what both sides know', (_, oldMs, newMs) => {
    const both = new Shadow();
    if (oldMs <= newMs) both.old('k1', oldMs);
    both.new('k1', newMs);
    if (oldMs > newMs) both.old('k1', oldMs);
    expect(both.compared()).toEqual([['k1', 'match', []]]);
    expect(both.driver.read(topics.mismatches)).toEqual([]);
  });

  test.each([
    ['another amount', { amount: 1n }, ['amount']],
    ['another balance', { destinationBalanceAfter: 7n }, ['destinationBalanceAfter']],
    ['a failure there only', { type: 'TopupFailed' as const, errorCode: 'account_frozen' }, ['outcome']],
  ])('tells %s by the names of the fields, never by values', (_, more, fields) => {
    const both = new Shadow();
    both.old('k1', 0);
    both.new('k1', 5, more);
    const [differing] = both.driver.read(topics.mismatches);
    expect(differing).toMatchObject({ key: 'k1', value: { outcome: 'mismatch', fields, delayMs: 5 } });
    expect(JSON.stringify(differing?.value)).not.toMatch(/10\.5|1050000000/);
  });

  it('misses, once the windows have closed, what only one of them has done', () => {
    const both = new Shadow();
    both.old('only-old', 0);
    both.new('only-new', 0);
    both.new('late', 0);
    both.pass(119_000);
    expect(both.compared()).toEqual([]);
    both.pass(122_000);
    both.pass(123_000);
    expect([...both.compared()].sort()).toEqual([
      ['late', 'missing_left', []],
      ['only-new', 'missing_left', []],
      ['only-old', 'missing_right', []],
    ]);
  });

  it('compares ends only: what was merely requested is no result', () => {
    const both = new Shadow();
    both.new('k1', 0, { type: 'TopupRequested' });
    expect(both.driver.read(topics.results)).toEqual([]);
  });

  it('counts every comparison by day and outcome', async () => {
    const both = new Shadow();
    for (const key of ['k1', 'k2', 'k3']) both.old(key, 0);
    for (const key of ['k1', 'k2']) both.new(key, 3);
    both.new('k3', 3, { amount: 1n });
    const rows = await both.driver.rows<string, number, unknown>(shadowTallies);
    expect(rows.map(({ key, value }) => [key.replaceAll('\t', ' '), value]).sort()).toEqual([
      ['2026-01-01 billing old|new field amount -', 1],
      ['2026-01-01 billing old|new outcome match 4', 2],
      ['2026-01-01 billing old|new outcome mismatch 4', 1],
    ]);
  });
});

describe('the shadow', () => {
  test.each(['', 'staging.', 'shadow.', 'staging.shadow.'])(
    'of the prefix %j touches no topic of real money, and is its own shadow',
    (prefix) => {
      const names = Object.values(shadowTopics(prefix)).map(({ name }: { readonly name: string }) => name);
      const real = Object.values(billingTopics(prefix === 'shadow.' ? '' : 'staging.')).map(
        ({ name }: { readonly name: string }) => name,
      );
      for (const name of names) {
        expect(name).toMatch(/^(staging\.)?shadow\.[a-z]/);
        expect(real).not.toContain(name);
      }
      const driver = new TestDriver(shadow(prefix));
      expect(
        driver.plan.subTopologies.flatMap(({ sourceTopics }) => sourceTopics).filter((name) => !/shadow/.test(name)),
      ).toEqual([]);
      driver.close();
    },
  );
});
