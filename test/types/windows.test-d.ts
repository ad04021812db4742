/** Checked by the compiler alone: what windowed steps infer, and what they refuse. Never run. */
import {
  defineSessionStore,
  defineTopic,
  defineTopology,
  defineWindowStore,
  int64Serde,
  sessionWindows,
  slidingWindows,
  stringSerde,
  timeWindowedSerde,
  tumblingWindows,
  untilTimeLimit,
  untilWindowCloses,
  type KStream,
  type KTable,
  type SessionWindowedKStream,
  type StateOf,
  type TimeWindowedKStream,
  type Windowed,
  type WindowState,
} from '../../index.ts';
import { exactly } from './expect.ts';

const texts = defineTopic({ name: 'texts', key: stringSerde, value: stringSerde });
const numbers = defineTopic({ name: 'numbers', key: int64Serde, value: int64Serde });
const counted = defineTopic({ name: 'counted', key: timeWindowedSerde(stringSerde, 10), value: int64Serde });
const windows = tumblingWindows({ sizeMs: 10, graceMs: 0 });
const sessions = sessionWindows({ gapMs: 10, graceMs: 0 });

const counts = defineWindowStore('counts', { key: stringSerde, value: int64Serde, sizeMs: 10, retentionMs: 10 });
const visits = defineSessionStore('visits', { key: stringSerde, value: int64Serde, retentionMs: 10 });

declare const state: StateOf<typeof counts>;
exactly<WindowState<string, number>>()(state);

export const windowed = defineTopology('windowed', (t) => {
  const grouped = t.stream(texts).groupByKey();
  exactly<TimeWindowedKStream<string, string>>()(grouped.windowedBy(windows));
  exactly<TimeWindowedKStream<string, string>>()(grouped.windowedBy(slidingWindows({ differenceMs: 1, graceMs: 0 })));
  exactly<SessionWindowedKStream<string, string>>()(grouped.windowedBy(sessions));

  const table = grouped.windowedBy(windows).count(counts);
  exactly<KTable<Windowed<string>, number>>()(table);
  exactly<KStream<Windowed<string>, number | null>>()(table.toStream());
  exactly<KTable<Windowed<string>, number>>()(table.suppress('final', untilWindowCloses()));
  table.toStream().to(counted);
  // @ts-expect-error its keys are of windows
  table.toStream().to(texts);

  grouped.windowedBy(sessions).count(visits);
  // @ts-expect-error a store of sessions holds no windows
  grouped.windowedBy(windows).count(visits);
  // @ts-expect-error sessions merge
  grouped.windowedBy(sessions).aggregate('a', { initial: () => '', add: (a, b) => a + b, valueSerde: stringSerde });

  const rows = t.table(texts);
  exactly<KTable<string, string>>()(rows.suppress('calm', untilTimeLimit(10)));
  // @ts-expect-error only windows close
  rows.suppress('closed', untilWindowCloses());

  const together = grouped.cogroup<number>((sum, text) => sum + text.length);
  // @ts-expect-error keys of another type never meet
  together.cogroup(t.stream(numbers).groupByKey(), (sum, number) => sum + number);
  exactly<KTable<string, number>>()(together.aggregate('sum', { initial: () => 0, valueSerde: int64Serde }));
  const summed = together.windowedBy(windows).aggregate('sums', { initial: () => 0, valueSerde: int64Serde });
  exactly<KTable<Windowed<string>, number>>()(summed);
});
