/** Runs an example as an instance over a log. */
import type { Log } from '../../connectors/log.ts';
import { produce, readAll, testInstance, until } from '../support/cluster.ts';
import type { Example } from './operators.ts';

/** What it wrote, as `[key, value, timestamp]`; fails if that does not become as much as it should. */
export async function runOnLog(log: Log, example: Example, applicationId: string): Promise<readonly unknown[][]> {
  const { topology, input, writes } = example;
  const names = new Set([writes.name, ...topology.nodes.flatMap(userTopics)]);
  await log.admin.createTopics([...names].map((name) => ({ name, partitions: 1 })));
  for (const [topic, key, value, timestampMs] of input)
    await produce(log, topic, [{ key, value: value as never, timestampMs }]);
  const instance = testInstance(log, topology, { applicationId });
  await instance.start();
  try {
    await until(
      `all outputs of ${topology.name}`,
      async () => {
        if (instance.failure !== undefined) throw instance.failure;
        return (await readAll(log, writes)).length >= example.output.length;
      },
      60_000,
    );
    return (await readAll(log, writes)).map(({ key, value, timestampMs }) => [key, value, timestampMs]);
  } finally {
    await instance.close();
  }
}

function userTopics(node: Example['topology']['nodes'][number]): readonly string[] {
  return node.kind === 'source'
    ? node.topics.filter(({ internal }) => internal === undefined).map(({ name }) => name)
    : [];
}
