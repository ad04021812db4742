import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from '@jest/globals';
import { silentLogger, systemRandom } from '../../clock.ts';
import { levelStores } from '../../state-stores/level.ts';
import { storesContract } from '../contracts/key-value-store-contract.ts';

const directories: string[] = [];

afterAll(async () => {
  await Promise.all(directories.map((directory) => rm(directory, { recursive: true, force: true })));
});

storesContract('levelStores', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'level-'));
  directories.push(directory);
  return levelStores({ directory: join(directory, 'state'), logger: silentLogger, random: systemRandom });
});
