import { createInstance, embeddedLog, levelStores, silentLogger, systemClock, systemRandom } from '../../index.ts';
import type { Log, StreamInstance } from '../../index.ts';
import { wordCount } from './word-count.ts';

export async function run(directory: string): Promise<{ log: Log; instance: StreamInstance }> {
  const ports = { clock: systemClock, random: systemRandom, logger: silentLogger };
  const log = await embeddedLog({ directory: `${directory}/log`, ...ports });
  const stores = levelStores({ directory: `${directory}/state`, ...ports });
  await log.admin.createTopics(['lines', 'counts'].map((name) => ({ name, partitions: 3 })));

  const host = { ...ports, log, stores, fault: () => undefined, sometimes: () => undefined };
  const instance = createInstance({ applicationId: 'word-count', instanceId: 'one', topology: wordCount, host });
  await instance.start();
  return { log, instance };
}
