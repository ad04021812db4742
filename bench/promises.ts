/**
 * `npm run bench:promises -- [--records N]`: a topology of 30 steps on the log in memory, and how many promises it makes while it
 * processes. It awaits once per slice of records, never per record; ends with 1 if that does not hold.
 */
import { createHook } from 'node:async_hooks';
import { parseArgs } from 'node:util';
import { silentLogger, systemClock, systemRandom } from '../clock.ts';
import {
  createInstance,
  defineTopic,
  defineTopology,
  int64Serde,
  memoryStores,
  noHeaders,
  BatchBuilder,
  stringSerde,
} from '../index.ts';
import { memoryLog } from '../testing.ts';

const { values } = parseArgs({ options: { records: { type: 'string', default: '1000000' } } });
const records = Number(values.records);
const recordsPerBatch = 10_000;
const stateless = 28;
/** Generous: a slice holds up to 500 records, and a slice, a fetch and a commit make some tens of promises each. */
const promisesPerRecordMax = 0.5;

const words = defineTopic({ name: 'words', key: stringSerde, value: int64Serde });
let seen = 0;

const topology = defineTopology('thirty-steps', (t) => {
  let stream = t.stream(words);
  for (let step = 0; step < stateless / 2; step += 1)
    stream = stream.mapValues((value) => value + 1).filter((value) => value > 0);
  stream
    .groupByKey()
    .count('counts')
    .toStream()
    .foreach(() => {
      seen += 1;
    });
});

const log = memoryLog({ clock: systemClock, random: systemRandom });
await log.admin.createTopics([{ name: words.name, partitions: 1 }]);
const producer = await log.producer({});
// Older records would be past the topic's retention.
const nowMs = systemClock.nowMs();
for (let written = 0; written < records; written += recordsPerBatch) {
  const batch = new BatchBuilder();
  for (let index = written; index < Math.min(records, written + recordsPerBatch); index += 1)
    batch.append(
      nowMs + index,
      stringSerde.serialize(`k${String(index % 1000)}`),
      int64Serde.serialize(index),
      noHeaders,
    );
  await producer.send([{ topic: words.name, partition: 0, records: batch }]);
}
await producer.close();

let promises = 0;
const hook = createHook({
  init: (_id, type) => {
    if (type === 'PROMISE') promises += 1;
  },
});
const instance = createInstance({
  applicationId: 'promises',
  instanceId: 'bench',
  topology,
  host: {
    clock: systemClock,
    random: systemRandom,
    log,
    stores: memoryStores(),
    logger: { ...silentLogger, error: console.error },
    fault: () => undefined,
    sometimes: () => undefined,
  },
});
hook.enable();
const started = process.cpuUsage();
await instance.start();
while (seen < records) {
  if (instance.state === 'failed') throw instance.failure ?? new Error('failed');
  await systemClock.sleep(5);
}
const { user, system } = process.cpuUsage(started);
hook.disable();
await instance.close();
await log.close();

const perRecord = promises / records;
console.log(
  `RESULT promises records=${String(records)} steps=30 promises=${String(promises)} perRecord=${perRecord.toFixed(4)} cpu=${((user + system) / 1e6).toFixed(2)}`,
);
if (perRecord > promisesPerRecordMax) process.exitCode = 1;
