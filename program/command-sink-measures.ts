/** What is told of every sink that has commands carried out by another system. */
import type { CommandSink } from '../connectors/command-sink.ts';
import { measuresWith, type Measure } from '../connectors/connector.ts';

/** Each called `<prefix>_…`. */
export function commandSinkMeasures(
  { counts, lags }: Pick<CommandSink, 'counts' | 'lags'>,
  { prefix, labels }: { readonly prefix: string; readonly labels: Readonly<Record<string, string>> },
): readonly Measure[] {
  const { errors, deadLetters, isWaiting } = counts;
  const measure = measuresWith(labels);
  return [
    measure(`${prefix}_errors_total`, 'Attempts that the other system or the log did not let succeed.', errors),
    measure(`${prefix}_dead_letters_total`, 'Records put aside: refused, or they make no sense.', deadLetters),
    measure(`${prefix}_waiting`, 'Whether the other system is waited for.', isWaiting ? 1 : 0),
    ...lags().map(({ partition, records }) =>
      measuresWith({ ...labels, partition: String(partition) })(
        `${prefix}_lag_records`,
        'Records not looked at yet.',
        records,
      ),
    ),
  ];
}
