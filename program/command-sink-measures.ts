/** What is told of every sink that has commands carried out by another system. */
import type { CommandSink } from '../connectors/command-sink.ts';
import { measuresWith, type Measure } from '../connectors/connector.ts';

/** Written out where they are given, so that they are found. */
export interface CommandSinkNames {
  readonly errors: string;
  readonly deadLetters: string;
  readonly waiting: string;
  readonly lag: string;
}

export function commandSinkMeasures(
  { counts, lags }: Pick<CommandSink, 'counts' | 'lags'>,
  names: CommandSinkNames,
  labels: Readonly<Record<string, string>> = {},
): readonly Measure[] {
  const { errors, deadLetters, isWaiting } = counts;
  const measure = measuresWith(labels);
  return [
    measure(names.errors, 'Attempts that the other system or the log did not let succeed.', errors),
    measure(names.deadLetters, 'Records put aside: refused, or they make no sense.', deadLetters),
    measure(names.waiting, 'Whether the other system is waited for.', isWaiting ? 1 : 0),
    ...lags().map(({ partition, records }) =>
      measuresWith({ ...labels, partition: String(partition) })(names.lag, 'Records not looked at yet.', records),
    ),
  ];
}
