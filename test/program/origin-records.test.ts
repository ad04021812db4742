import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import Sqlite from 'libsql';
import { systemClock, systemRandom } from '../../clock.ts';
import { customersOfA, customersOfB } from '../../program/origin-records.ts';
import { readSettings } from '../../program/settings.ts';
import { SystemBServer, customerOfB } from '../support/customer/system-b-server.ts';

const settingsOf = (env: Readonly<Record<string, string>>) => readSettings({ env, topologies: [] });
const { signal } = new AbortController();

test('a customer of system B is found by its uuid, one that its API does not show is not; while the API is away nobody can say', async () => {
  const systemB = new SystemBServer();
  await systemB.start();
  try {
    systemB.put(customerOfB(1));
    const settings = settingsOf({ SYSTEM_B_URL: systemB.url });
    const find = customersOfB({ settings, clock: systemClock, random: systemRandom });
    expect(await find(customerOfB(1).uuid, signal)).toEqual(customerOfB(1));
    expect(await find(customerOfB(2).uuid, signal)).toBeUndefined();
    systemB.isAway = true;
    await expect(find(customerOfB(1).uuid, signal)).rejects.toMatchObject({ code: 'DEPENDENCY_UNAVAILABLE' });
  } finally {
    await systemB.stop();
  }
});

test('a customer of system A is found by its id in a file; a file that is away is no answer', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'rivulet-origin-'));
  try {
    const path = join(directory, 'a.db');
    const find = customersOfA({ settings: settingsOf({ SYSTEM_A_SQLITE_FILE: path }), systemA: undefined });
    await expect(find('7')).rejects.toMatchObject({ code: 'DEPENDENCY_UNAVAILABLE' });
    const file = new Sqlite(path);
    file.exec(
      `CREATE TABLE customers_a (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO customers_a VALUES (7, 'Ann')`,
    );
    file.close();
    expect(await find('7')).toMatchObject({ id: 7, name: 'Ann' });
    expect(await find('8')).toBeUndefined();
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

test('where a system is asked nowhere, nothing of it is found', async () => {
  const ports = { settings: settingsOf({}), clock: systemClock, random: systemRandom, systemA: undefined };
  expect([await customersOfA(ports)('7'), await customersOfB(ports)('7', signal)]).toEqual([undefined, undefined]);
});
