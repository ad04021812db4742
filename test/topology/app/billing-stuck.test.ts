import { afterEach, describe, expect, it } from '@jest/globals';
import { stuckSagas } from '../../../api/app/stuck-sagas.ts';
import { systemClock, systemRandom } from '../../../clock.ts';
import { memoryLog } from '../../../connectors/embedded/embedded-log.ts';
import { commandIdOf } from '../../../processors/app/billing/saga-definitions.ts';
import { sagaPatienceMs, sagaTimers } from '../../../processors/app/billing/saga-processor.ts';
import type { LedgerResult } from '../../../schemas/app/billing/ledger-result.ts';
import { billingTopics } from '../../../schemas/app/billing/topics.ts';
import { billingSaga } from '../../../topology/app/billing-saga.ts';
import { BillingBench } from '../../support/billing/bench.ts';
import { money } from '../../support/billing/commands.ts';
import { produce, readAll, testInstance, until } from '../../support/cluster.ts';

const benches: BillingBench[] = [];

afterEach(() => {
  for (const bench of benches.splice(0)) bench.close();
});

function annAndBob(): BillingBench {
  const bench = new BillingBench();
  benches.push(bench);
  bench.open('ann', '50');
  bench.open('bob', '10');
  return bench;
}

const transfer = { type: 'TRANSFER', from: 'ann', to: 'bob', amount: '20' } as const;

/** A hold is refused, and the other one cannot be given back. */
function releasing(bench: BillingBench): void {
  bench.carryOne('HOLD_DEBIT');
  bench.refuse('HOLD_CREDIT');
  bench.refuse('VOID');
}

/** Half of what cannot be taken back is done, and the other half is refused. */
function debiting(bench: BillingBench): void {
  bench.carry();
  bench.carryOne('POST_CREDIT');
  bench.refuse('POST_DEBIT');
}

describe.each([
  ['RELEASING', releasing],
  ['DEBITING', debiting],
])('a saga that got stuck while it was %s', (state, strand) => {
  it('is kept where it is found, however much time passes, and never woken', async () => {
    const bench = annAndBob();
    const txId = bench.ask('k', transfer);
    strand(bench);
    const rows = [{ key: `stuck|${state}|${txId}`, value: { txId } }];
    expect(await bench.saga.rows(sagaTimers)).toMatchObject(rows);
    bench.saga.read(billingTopics().requests);
    bench.pass(10 * sagaPatienceMs);
    expect(bench.saga.read(billingTopics().requests)).toEqual([]);
    expect(await bench.saga.rows(sagaTimers)).toMatchObject(rows);
  });

  it('before that was noted is found from when it is told to send again', async () => {
    const bench = annAndBob();
    const txId = bench.ask('k', transfer);
    strand(bench);
    const key = `stuck|${state}|${txId}`;
    for (const partition of [0, 1])
      (bench.saga.state(sagaTimers.name, partition) as { delete(key: string): void }).delete(key);
    bench.saga.commit();
    expect(await bench.saga.rows(sagaTimers)).toEqual([]);
    const sent = bench.commands.length;
    bench.request({ type: 'REDRIVE', txId });
    expect(await bench.saga.rows(sagaTimers)).toMatchObject([{ key, value: { txId } }]);
    expect(bench.commands).toHaveLength(sent);
  });
});

it('instances count those of their partitions, none of them twice', async () => {
  const topics = billingTopics();
  const log = memoryLog({ clock: systemClock, random: systemRandom });
  const { requests, results, sagaEvents } = topics;
  await log.admin.createTopics(Object.values(topics).map(({ name }: { name: string }) => ({ name, partitions: 4 })));
  const instances = ['one', 'two'].map((instanceId) => testInstance(log.client(), billingSaga(), { instanceId }));
  const counted = async () => await Promise.all(instances.map((instance) => stuckSagas(sagaTimers, [instance])));
  try {
    await Promise.all(instances.map((instance) => instance.start()));
    const movement = { sourceAccountId: 'ann', destinationAccountId: 'bob', amount: money('1'), currency: 'USD' };
    const about = { idempotencyKey: 'k', fingerprint: 'f', actorId: 'a', correlationId: 'c', requestedAt: 1 };
    const txIds = Array.from({ length: 20 }, (_, index) => `tx-${index}`);
    const asked = txIds.map((txId) => ({ type: 'TRANSFER' as const, txId, ...about, ...movement }));
    await produce(
      log,
      requests,
      asked.map((value) => ({ key: value.txId, value })),
    );
    const held = async () => (await readAll(log, sagaEvents)).length === txIds.length;
    await until('all are asked to hold', held);
    expect(await counted()).toEqual([[], []]);
    const answers = [
      ['hold-debit', 'APPLIED'],
      ['hold-credit', 'REJECTED'],
      ['void-debit', 'REJECTED'],
    ] as const;
    const answered = txIds.flatMap((txId) =>
      answers.map(([step, outcome]): { key: string; value: LedgerResult } => ({
        key: txId,
        value: { txId, commandId: commandIdOf(txId, step), accountId: 'ann', outcome, version: 1 },
      })),
    );
    await produce(log, results, answered);
    const sum = async () => (await counted()).flat().reduce((total, { value }) => total + value, 0);
    await until('all are counted', async () => (await sum()) === txIds.length);
    for (const samples of await counted())
      expect(samples).toMatchObject([{ name: 'saga_stuck_total', type: 'gauge', labels: { state: 'RELEASING' } }]);
  } finally {
    await Promise.all(instances.map((instance) => instance.close()));
    await log.close();
  }
});
