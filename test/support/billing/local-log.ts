import { join } from 'node:path';
import { newTopics } from '../../../api/app/application.ts';
import { systemClock, systemRandom } from '../../../clock.ts';
import { embeddedLog } from '../../../connectors/embedded/file-log.ts';
import { billingTopics } from '../../../schemas/app/billing/topics.ts';
import { connectorTopics } from '../../../schemas/app/connector-topics.ts';

/** The log of an application that has this data directory, with the topics of billing. */
export async function logForBilling(directory: string): Promise<void> {
  const log = await embeddedLog({ directory: join(directory, 'log'), clock: systemClock, random: systemRandom });
  await log.admin.createTopics(newTopics({ ...billingTopics(), ...connectorTopics() }));
  await log.close();
}
