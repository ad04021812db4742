/** A process that writes pairs until it is killed, and says on its output which ones were acknowledged. Arguments: directory, segment bytes. */
import { systemClock, systemRandom } from '../../../clock.ts';
import { embeddedLog } from '../../../connectors/embedded/file-log.ts';
import { createPairTopics, readPairs, transactionalId, writePair } from './pair-workload.ts';

const [directory = '', segmentBytes = '5000'] = process.argv.slice(2);
const log = await embeddedLog({
  directory,
  clock: systemClock,
  random: systemRandom,
  maintenanceIntervalMs: 20,
  journalBytes: 20_000,
});
await createPairTopics(log, {
  'segment.bytes': segmentBytes,
  'cleanup.policy': 'compact',
  'min.cleanable.dirty.ratio': '0',
});
const producer = await log.producer({ transactionalId });
const { offset } = await readPairs(log);
process.stdout.write(`open ${String(offset)}\n`);
for (let number = offset + 1; ; number++) {
  await writePair(producer, number);
  process.stdout.write(`${String(number)}\n`);
  if (number % 10 === 0) await systemClock.yield();
}
