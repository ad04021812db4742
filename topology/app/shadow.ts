/** T8: what two systems made of the same requests, compared; and all comparisons, counted. */
import { defineTopology, stringSerde } from '../../index.ts';
import type { Topology } from '../../index.ts';
import { compareResults, resultsOf } from '../../processors/app/shadow/billing.ts';
import { shadowTallies, talliesOf } from '../../processors/app/shadow/tallies.ts';
import { jsonFormat, type RecordFormat } from '../../schemas/app/record-format.ts';
import { shadowTopics } from '../../schemas/app/shadow.ts';

export const shadowName = 'shadow';

/** How long one system may take after the other; and how long after that a result still counts. */
const minute = 60_000;
export const shadowWindows = { beforeMs: minute, afterMs: minute, graceMs: minute } as const;

/** The topology over the shadow of this prefix: it neither reads nor writes anything else. */
export function shadow(topicPrefix = '', format: RecordFormat = jsonFormat): Topology {
  const topics = shadowTopics(topicPrefix, format);
  return defineTopology(shadowName, (t) => {
    t.stream(topics.transactionEvents, { name: 'transaction-events', onError: 'skip' })
      .flatMap('results-of-events', resultsOf)
      .to(topics.results);

    const results = t.stream(topics.results, { name: 'results', onError: 'skip' });
    const old = results.filter('old-results', ({ side }) => side === 'old');
    const compared = old.outerJoinStream(
      'comparison',
      results.filter('new-results', ({ side }) => side === 'new'),
      { windows: shadowWindows, joiner: compareResults },
    );
    compared.to(topics.comparisons);

    const comparisons = t.stream(topics.comparisons, { name: 'comparisons', onError: 'skip' });
    comparisons.filter('differing', ({ outcome }) => outcome !== 'match').to(topics.mismatches);
    comparisons
      .flatMap('tallies', (comparison) => talliesOf(comparison).map((tally): [string, string] => [tally, '']))
      .groupByKey({ name: 'by-tally', keySerde: stringSerde, valueSerde: stringSerde })
      .count(shadowTallies);
  });
}
