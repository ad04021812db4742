import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, systemRandom } from '../../../clock.ts';
import { embeddedLog } from '../../../connectors/embedded/file-log.ts';
import { logContract } from '../../contracts/log-contract.ts';

logContract('the embedded log on files', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'rivulet-log-'));
  const log = await embeddedLog({ directory, clock: systemClock, random: systemRandom });
  return {
    log,
    another: () => Promise.resolve(log.client()),
    cleanup: async () => {
      await log.close();
      await rm(directory, { recursive: true });
    },
    caps: { compact: () => log.maintain() },
  };
});
