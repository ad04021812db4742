/** The topology of the crash tests: records are counted by a key of their own choosing, through a repartition topic, into state and an output topic. */
import { int64Serde, stringSerde } from '../../schemas/serde.ts';
import { defineTopic } from '../../schemas/topic.ts';
import type { Topic } from '../../schemas/topic.ts';
import { defineTopology } from '../../topology/builder.ts';
import type { Topology } from '../../topology/graph.ts';

export interface Counting {
  readonly topology: Topology;
  readonly events: Topic<string, string>;
  readonly counts: Topic<string, number>;
  readonly applicationId: string;
  readonly changelog: Topic<string, number>;
}

/** All names end in `suffix`, so that tests can share a broker. */
export function counting(suffix: string): Counting {
  const events = defineTopic({ name: `events-${suffix}`, key: stringSerde, value: stringSerde });
  const counts = defineTopic({ name: `counts-${suffix}`, key: stringSerde, value: int64Serde });
  const applicationId = `counting-${suffix}`;
  const topology = defineTopology('counting', (t) => {
    t.stream(events)
      .groupBy('by-value', (value) => value, { keySerde: stringSerde })
      .count('counts-by-value')
      .toStream()
      .to(counts);
  });
  const changelog = defineTopic({
    name: `${applicationId}-counts-by-value-changelog`,
    key: stringSerde,
    value: int64Serde,
  });
  return { topology, events, counts, applicationId, changelog };
}
