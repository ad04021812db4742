import { defineTopic, defineTopology, int64Serde, stringSerde } from '../../index.ts';

export const lines = defineTopic({ name: 'lines', key: stringSerde, value: stringSerde });
export const counts = defineTopic({ name: 'counts', key: stringSerde, value: int64Serde });

export const wordCount = defineTopology('word-count', (t) => {
  t.stream(lines)
    .flatMapValues((line) => line.toLowerCase().split(/\W+/))
    .filter((word) => word !== '')
    .groupBy('by-word', (word) => word, { keySerde: stringSerde, valueSerde: stringSerde })
    .count('word-counts')
    .toStream()
    .to(counts);
});
