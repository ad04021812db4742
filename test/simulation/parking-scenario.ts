/**
 * Records that fail under `park-key`, and an operator, itself a topology, who replays or discards each dead letter. What comes of a key is what was given, in
 * its order, without the discarded.
 */
import { defineProcessor } from '../../processors/processor.ts';
import { bytesSerde, stringSerde } from '../../schemas/serde.ts';
import { replayOfHeader } from '../../schemas/dead-letter.ts';
import { defineTopic, type Topic } from '../../schemas/topic.ts';
import { defineTopology } from '../../topology/builder.ts';
import { discardHeaders, readDeadLetter, replayHeaders } from '../../topology/runtime/dead-letter-record.ts';
import { batchesOf } from './batches.ts';
import { byKey, differences } from './expected.ts';
import { epochMs } from './process.ts';
import type { Append, InputOptions, ReadTopic, Scenario } from './scenario.ts';

const texts = (name: string): Topic<string, string> => defineTopic({ name, key: stringSerde, value: stringSerde });
const bytes = (name: string): Topic<Uint8Array, Uint8Array> =>
  defineTopic({ name, key: bytesSerde, value: bytesSerde });

const orders = texts('orders');
const taken = texts('taken');
const letters = bytes('letters');
const applicationId = 'parking';
const replays = bytes(`${applicationId}-${orders.name}-replay`);

/** What ends with `!` fails the first time, with `!!` the second time too, with `?` always. */
const take = defineProcessor<string, string, string, string>({
  name: 'take',
  process(record, { forward }) {
    const { value, headers } = record;
    const replayOf = headers.findLast(({ key }) => key === replayOfHeader)?.value;
    const replayed = replayOf === undefined ? '' : Buffer.from(replayOf).toString();
    const isMended = value.endsWith('!!') ? replayed.includes(replays.name) : replayed !== '';
    if (value.endsWith('?') || (value.endsWith('!') && !isMended)) throw new Error(`cannot take ${value}`);
    forward({ ...record });
  },
});

const parking = defineTopology(
  applicationId,
  (t) => {
    t.stream(orders).process(take).to(taken);
  },
  {
    onError: 'park-key',
    deadLetterTopic: letters.name,
  },
);

const decide = defineProcessor<Uint8Array, Uint8Array, Uint8Array, Uint8Array>({
  name: 'decide',
  process(record, { forward, metadata }) {
    const letter = readDeadLetter({ ...record, offset: metadata?.offset ?? 0 }, metadata?.partition ?? 0);
    if (letter === undefined) throw new Error('no dead letter');
    const isLost = Buffer.from(record.value).toString().endsWith('?');
    const headers = isLost ? discardHeaders(letter) : replayHeaders(letter);
    forward({ key: record.key, value: record.value, timestampMs: letter.timestampMs, headers });
  },
});

const operator = defineTopology('operator', (t) => {
  t.stream(letters).process(decide).to(replays);
});

export const parkingScenario: Scenario = {
  name: 'parking',
  topologies: [parking, operator],
  marks: [],
  topics: [orders, taken, letters].map(({ name }) => ({ name })),
  inputs,
  verify,
};

function inputs({ chance, records, partitions, durationMs }: InputOptions): readonly Append[] {
  const keys = chance.between(1, 8);
  const times = Array.from({ length: records }, () => chance.next() * durationMs).sort((a, b) => a - b);
  return times.map((atMs, index) => {
    const value = `v${index}${chance.isTrue(0.2) ? chance.pick(['!', '!!', '?'] as const) : ''}`;
    const record = { key: `k${chance.below(keys)}`, value, timestampMs: epochMs + index };
    return { atMs, outcome: 'plain', batches: batchesOf(orders, partitions, [record]) };
  });
}

async function verify(read: ReadTopic): Promise<readonly string[]> {
  const given = (await read(orders)).filter(({ value }) => value?.endsWith('?') === false);
  return differences(taken.name, byKey(await read(taken)), byKey(given));
}
