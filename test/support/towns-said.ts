/** What is said, joined with the town of who says it: a table that has its topic for a changelog. */
import { stringSerde } from '../../schemas/serde.ts';
import { noHeaders } from '../../schemas/record.ts';
import { BatchBuilder } from '../../schemas/record-batch.ts';
import type { Topic } from '../../schemas/topic.ts';
import type { Log } from '../../connectors/log.ts';
import type { ErrorPolicy } from '../../topology/error-policy.ts';
import { defineTopology } from '../../topology/builder.ts';
import type { Topology } from '../../topology/graph.ts';
import { produce, readAll, until } from './cluster.ts';
import { texts } from './sample-topologies.ts';

export interface TownsSaid {
  readonly applicationId: string;
  readonly towns: Topic<string, string>;
  topology(onError: ErrorPolicy, towns?: Topic<string, string>): Topology;
  /** The topics, that of the table with this policy. */
  create(cleanupPolicy: string): Promise<void>;
  /** Lets everyone say something, and returns what is known of where they are once all is joined. */
  say(word: string, speakers: readonly string[]): Promise<readonly string[]>;
  /** Appends a record that is no text. */
  produceBad(key: string): Promise<void>;
}

/** All names end in `suffix`, so that tests can share a broker. */
export function townsSaid(log: Log, suffix: string): TownsSaid {
  const [towns, said, output] = ['towns', 'said', 'output'].map((name) => texts(`${name}-${suffix}`)) as [
    Topic<string, string>,
    Topic<string, string>,
    Topic<string, string>,
  ];
  return {
    applicationId: `towns-said-${suffix}`,
    towns,
    topology: (onError, read = towns) =>
      defineTopology('towns-said', (t) => {
        const table = t.table(read, { store: 'towns', changelog: 'source-topic', onError });
        t.stream(said)
          .leftJoin('in-town', table, (word, town) => `${word} in ${String(town)}`)
          .withSerdes({ valueSerde: stringSerde })
          .to(output);
      }),
    create: async (cleanupPolicy) => {
      await log.admin.createTopics([
        { name: towns.name, partitions: 2, configs: { 'cleanup.policy': cleanupPolicy } },
        ...[said, output].map(({ name }) => ({ name, partitions: 2 })),
      ]);
    },
    say: async (word, speakers) => {
      const records = speakers.map((key) => ({ key, value: word }));
      await produce(log, said, records);
      const heard = async (): Promise<readonly string[]> =>
        (await readAll(log, output))
          .filter(({ value }) => value?.startsWith(`${word} `) === true)
          .map(({ key, value }) => `${String(key)}: ${String(value)}`)
          .sort();
      await until(`${word} is joined`, async () => (await heard()).length >= speakers.length, 60_000);
      return await heard();
    },
    produceBad: async (key) => {
      const records = new BatchBuilder();
      records.append(1_700_000_000_000, Buffer.from(key), Buffer.from([0xff]), noHeaders);
      const producer = await log.producer({});
      await producer.send([{ topic: towns.name, partition: 0, records }]);
      await producer.close();
    },
  };
}
