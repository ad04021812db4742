/** Topologies of one windowed step, fed record by record. */
import {
  defineTopic,
  defineTopology,
  stringSerde,
  type EmitStrategy,
  type KGroupedStream,
  type KTable,
  type SessionWindows,
  type SlidingWindows,
  type StreamRecord,
  type TimeWindows,
  type Windowed,
} from '../../index.ts';
import { TestDriver } from '../../testing.ts';

export const dayMs = 24 * 60 * 60 * 1000;

export const input = defineTopic({ name: 'input', key: stringSerde, value: stringSerde });

/** `[key, time]` or `[key, time, value]`; the value is `v` by default. */
export type Piped = readonly [key: string | null, timestampMs: number, value?: string | null];

/** `key@start..end=value/time`. */
export type Shown = string;

export interface Result {
  /** What came out for each record. */
  readonly steps: readonly (readonly Shown[])[];
  readonly drops: ReadonlyMap<string, number>;
}

export function show(key: Windowed<unknown>, value: unknown, timestampMs: number): Shown {
  return `${String(key.key)}@${String(key.startMs)}..${String(key.endMs)}=${String(value)}/${String(timestampMs)}`;
}

/** Runs records through a windowed table; `declare` makes it of the grouped stream. */
export function run<V>(
  records: readonly Piped[],
  declare: (windowed: GroupedInput) => KTable<Windowed<string>, V>,
): Result {
  let shown: Shown[] = [];
  const topology = defineTopology('windows', (t) => {
    declare(t.stream(input).groupByKey())
      .toStream()
      .process('show', {
        name: 'show',
        process: ({ key, value, timestampMs }: StreamRecord<Windowed<string>, unknown>) => {
          shown.push(show(key, value, timestampMs));
        },
      });
  });
  const driver = new TestDriver(topology);
  const steps = records.map(([key, timestampMs, value = 'v']) => {
    shown = [];
    driver.pipe(input, key, value, { timestampMs });
    return shown;
  });
  const drops = driver.drops();
  driver.close();
  return { steps, drops };
}

type GroupedInput = KGroupedStream<string, string>;

export interface Counting {
  readonly windows: TimeWindows | SlidingWindows | SessionWindows;
  readonly emit?: EmitStrategy;
  readonly retentionMs?: number;
}

/** Counts by key and window, kept for a day so that only the windows decide what is late. */
export function count(
  records: readonly Piped[],
  { windows, emit = 'on-update', retentionMs = dayMs }: Counting,
): Result {
  const store = { name: 'counts', retentionMs };
  return run(records, (stream) =>
    windows.kind === 'session'
      ? stream.windowedBy(windows).emitStrategy(emit).count(store)
      : stream.windowedBy(windows).emitStrategy(emit).count(store),
  );
}
