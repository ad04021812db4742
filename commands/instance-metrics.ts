/** Whether instances are as fast and as fresh as they should be, by the pages of metrics that they show. Pure. */
import type { GateCheck } from '../processors/app/shadow/tallies.ts';

/** Of the routes that read one thing. */
const reads: readonly string[] = ['/customers/:email', '/accounts/:id/balance'];
/** In seconds, a bucket of the histogram; of a hundred reads ninety-nine must be in it. */
const readWithin = '0.03';
const readShareMin = 0.99;
const stalenessSecondsMax = 5;

interface Sample {
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

/** Since the instances started; reads that nobody made are not passed. What no instance shows, a view, is not checked. */
export function instanceChecks(pages: readonly string[]): readonly GateCheck[] {
  const of = (name: string): readonly Sample[] => pages.flatMap((page) => samplesOf(page, name));
  const sum = (name: string, more: (labels: Sample['labels']) => boolean): number =>
    of(name)
      .filter(
        ({ labels }) => labels.get('method') === 'GET' && reads.includes(labels.get('route') ?? '') && more(labels),
      )
      .reduce((total, { value }) => total + value, 0);
  const histogram = 'rivulet_http_request_duration_seconds';
  const total = sum(`${histogram}_count`, () => true);
  const fast = sum(`${histogram}_bucket`, (labels) => labels.get('le') === readWithin);
  const share = total === 0 ? 0 : fast / total;
  const staleness = of('mv_staleness_seconds').map(({ value }) => value);
  const stalest = Math.max(...staleness);
  return [
    {
      check: `share of reads within ${readWithin} s`,
      isPassed: share >= readShareMin,
      value: share,
      limit: readShareMin,
    },
    ...(staleness.length === 0
      ? []
      : [
          {
            check: 'lag of the view in seconds',
            isPassed: stalest <= stalenessSecondsMax,
            value: stalest,
            limit: stalenessSecondsMax,
          },
        ]),
  ];
}

function samplesOf(page: string, name: string): readonly Sample[] {
  return page.split('\n').flatMap((line) => {
    const [, labels = '', value] = line.startsWith(name) ? (/^\w+(?:\{(.*)\})? (\S+)$/.exec(line) ?? []) : [];
    const isIt = value !== undefined && [' ', '{'].includes(line[name.length] ?? '');
    return isIt ? [{ labels: labelsOf(labels), value: Number(value) }] : [];
  });
}

function labelsOf(text: string): ReadonlyMap<string, string> {
  return new Map([...text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name = '', value = '']) => [name, value]));
}
