import { createInstance, embeddedLog, levelStores } from '../../index.ts';
import type { Log, StreamInstance } from '../../index.ts';
import { wordCount } from './word-count.ts';

export async function run(directory: string): Promise<{ log: Log; instance: StreamInstance }> {
  const log = await embeddedLog({ directory: `${directory}/log` });
  const stores = levelStores({ directory: `${directory}/state` });
  await log.admin.createTopics(['lines', 'counts'].map((name) => ({ name, partitions: 3 })));

  const options = { applicationId: 'word-count', instanceId: 'one', topology: wordCount };
  const instance = createInstance({ ...options, host: { log, stores } });
  await instance.start();
  return { log, instance };
}
