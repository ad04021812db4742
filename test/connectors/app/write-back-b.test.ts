import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { memoryLog, type EmbeddedLog } from '../../../connectors/embedded/embedded-log.ts';
import type { CustomerMerged } from '../../../schemas/app/customer/merged.ts';
import { connectorTopics } from '../../../schemas/app/connector-topics.ts';
import { customerTopics } from '../../../schemas/app/customer/topics.ts';
import { produce, readAll, until } from '../../support/cluster.ts';
import { foldAll } from '../../support/customer/fold.ts';
import { polled } from '../../support/customer/records.ts';
import { SystemBServer, customerOfB, type CustomerOfB } from '../../support/customer/system-b-server.ts';
import { startWriteBack, type RunningWriteBack } from '../../support/customer/write-back.ts';

// Longer than any wait within: what is waited for in vain is named.
jest.setTimeout(240_000);

const { merged, dlq } = customerTopics();
const waitMs = 60_000;
let systemB: SystemBServer;
let log: EmbeddedLog;
let sink: RunningWriteBack;

beforeEach(async () => {
  systemB = new SystemBServer();
  await systemB.start();
  log = memoryLog({ clock: systemClock, random: systemRandom, logger: silentLogger });
  const all = [merged, dlq, connectorTopics().checkpoints];
  await log.admin.createTopics(all.map(({ name, create }) => ({ name, ...create, partitions: 1 })));
});

afterEach(async () => {
  await sink.close();
  await log.close();
  await systemB.stop();
});

function start(): void {
  sink = startWriteBack(log, { urlOfB: systemB.url });
}

/** Before anything that the merge was told at its beginning. */
function known(index: number, more: Partial<CustomerOfB> = {}): CustomerOfB {
  return customerOfB(index, 0, { updatedAt: '2025-12-31T10:00:00.000Z', ...more });
}

/** System A has a newer name than the customer as system B has it now. */
async function rename(index: number, name: string): Promise<void> {
  const { uuid, email, name: before, phone, updatedAt } = known(index);
  const older = {
    source: 'system_b',
    id: uuid,
    lastUpdated: updatedAt,
    fields: { email, name: before, phone },
  } as const;
  const newer = { id: index, operation: 'CREATE', lastUpdated: '2026-02-01T00:00:00Z', fields: { email, name } };
  const value: CustomerMerged = foldAll([polled(older), polled(newer)])
    .merge.latest()
    .get(email)!;
  await produce(log, merged, [{ key: email, value }]);
}

const nameOf = (index: number): string | undefined => systemB.customers.get(customerOfB(index).uuid)?.name;
const isNamed = (index: number, name: string) => (): boolean => nameOf(index) === name;
const counted = (outcome: string): number => sink.measured('write_back_total', { outcome });

describe('merged customers, written back to system B', () => {
  test('with what differs and nothing else, once however often it is told', async () => {
    for (const index of [1, 2]) systemB.put(known(index));
    start();
    for (let times = 0; times < 3; times += 1) await rename(1, 'Ann');
    await rename(2, 'Bob');
    await until('both are written', () => isNamed(1, 'Ann')() && isNamed(2, 'Bob')(), waitMs);
    await until('all are dealt with', () => sink.measured('write_back_total') === 4, waitMs);
    expect([counted('written'), counted('same')]).toEqual([2, 2]);
    expect(systemB.patches).toHaveLength(2);
    expect(systemB.patches).toContainEqual({ name: 'Ann' });
  });

  test('not over an edit, be it made before the customer is read or just before the change', async () => {
    for (const index of [1, 2]) systemB.put(known(index));
    systemB.put(known(1, { name: 'Edited' }));
    systemB.onRequest = () => systemB.put(known(2, { name: 'Edited at the last moment' }));
    start();
    for (const index of [1, 2, 3]) await rename(index, 'Overwritten');
    await until('all are dealt with', () => sink.measured('write_back_total') === 3, waitMs);
    expect([counted('skipped'), counted('missing'), systemB.patches.length]).toEqual([2, 1, 0]);
    expect([nameOf(1), nameOf(2)]).toEqual(['Edited', 'Edited at the last moment']);
  });

  test('each once, however often the process is killed in the middle and answers get lost', async () => {
    const indexes = Array.from({ length: 60 }, (_, index) => index + 1);
    for (const index of indexes) systemB.put(known(index));
    for (const index of indexes) await rename(index, 'Ann');
    for (let made = 0; made < 60; made += 20) {
      start();
      await until('some are written', () => systemB.patches.length >= made + 5, waitMs);
      systemB.losesAnswers = !systemB.losesAnswers;
      await until('more are written', () => systemB.patches.length >= made + 10, waitMs);
      await sink.kill();
    }
    systemB.losesAnswers = false;
    start();
    const isDone = (): boolean => indexes.every((index) => isNamed(index, 'Ann')());
    await until('all are written', isDone, waitMs);
    systemB.put(known(61));
    await rename(61, 'Bob');
    await until('another one is, behind them', isNamed(61, 'Bob'), waitMs);
    expect(systemB.patches).toHaveLength(61);
    expect(await readAll(log, dlq)).toEqual([]);
  });

  test('after it was away, and what it refuses is put aside and stops nothing else', async () => {
    for (const index of [1, 2]) systemB.put(known(index));
    systemB.isAway = true;
    start();
    await rename(1, '?');
    await rename(2, 'Bob');
    await until('it waits', () => sink.measured('write_back_waiting') === 1, waitMs);
    expect(await readAll(log, dlq)).toEqual([]);
    systemB.isAway = false;
    await until('the second is written', isNamed(2, 'Bob'), waitMs);
    await until('the first is put aside', () => sink.measured('write_back_dead_letters_total') === 1, waitMs);
    expect((await readAll(log, dlq)).map(({ key }) => Buffer.from(key ?? []).toString())).toEqual([
      customerOfB(1).email,
    ]);
  });
});
