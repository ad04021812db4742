/** An application process for chaos: counting and customer merge with their API. `BROKERS SUFFIX INSTANCE_ID DIRECTORY`; writes its URL to `DIRECTORY/url`. */
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { customerRoutes } from '../../api/app/customer-routes.ts';
import { createApi } from '../../api/server.ts';
import { systemClock, systemRandom } from '../../clock.ts';
import { kafkaLog } from '../../connectors/kafka/kafka-log.ts';
import { createJsonLogger } from '../../json-logger.ts';
import { customerStates } from '../../processors/app/customer/processors.ts';
import { defaultPolicy } from '../../schemas/app/customer/policy.ts';
import { levelStores } from '../../state-stores/level.ts';
import { createInstance } from '../../topology/runtime/stream-instance.ts';
import type { StreamInstance } from '../../topology/runtime/stream-instance.ts';
import { customerApplications } from '../chaos/customer-applications.ts';
import { timeouts } from '../chaos/workload.ts';

const [brokers = '', suffix = '', instanceId = '', directory = ''] = process.argv.slice(2);
const clock = systemClock;
const random = systemRandom;
const logger = createJsonLogger({
  level: 'info',
  clock,
  write: (line) => {
    process.stderr.write(`${line}\n`);
  },
});
const instances: StreamInstance[] = [];
const api = createApi({
  instances,
  clock,
  logger,
  host: '127.0.0.1',
  rateLimitPerSecond: 0,
  routes: [customerRoutes({ states: customerStates, policy: defaultPolicy })],
});
const url = await api.listen({ host: '127.0.0.1', port: 0 });
const log = kafkaLog({ brokers: brokers.split(','), clientId: instanceId }, { clock, random, logger });
const stores = levelStores({ directory: join(directory, 'state'), logger, random });
for (const { applicationId, topology } of customerApplications(suffix).applications)
  instances.push(
    createInstance({
      applicationId,
      instanceId,
      topology,
      advertisedUrl: url,
      commitIntervalMs: 100,
      ...timeouts,
      host: { clock, random, log, stores, logger, fault: () => undefined, sometimes: () => undefined },
    }),
  );
process.once('SIGTERM', () => {
  Promise.all(instances.map((instance) => instance.close())).then(
    (closed) => process.exit(closed.every((isClean) => isClean) ? 0 : 1),
    () => process.exit(1),
  );
});
await writeFile(join(directory, 'url.new'), url);
await rename(join(directory, 'url.new'), join(directory, 'url'));
await Promise.all(instances.map((instance) => instance.start()));
