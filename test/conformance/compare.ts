/** Compares what a run gave with what the case says, in the way its `expectedMode` names. */
import type { ByOutput, ConformanceCase, Expected, Output, RecordInput, Steps, WindowedKey } from './format.ts';

/** What a run of a case gave, step by step. */
export interface Observed {
  /** Output name -> per step what came out. */
  readonly outputs: Readonly<Record<string, readonly (readonly Output[])[]>>;
  /** Per step the message of the error that processing it threw. */
  readonly errors: readonly (string | undefined)[];
  /** Per step the content of the watched store, if there is one. */
  readonly stores: readonly (readonly Output[])[];
  /** Dropped records after each step. */
  readonly drops: readonly number[];
}

type Difference = string | undefined;
type Records = readonly Output[];

/** The first difference; `undefined` if there is none. */
export function compareCase(of: ConformanceCase, observed: Observed): Difference {
  const checks: readonly (() => Difference)[] = [
    () => unexpectedError(of, observed),
    () => compareExpected(of, observed),
    () => compareFinal(of, observed),
    () => compareDriverOutput(of, observed),
    () => compareSteps(of, { name: 'rejoin', expected: of.rejoinExpected, observed }),
    () => compareStores(of, observed),
    () => compareDrops(of, observed),
  ];
  for (const check of checks) {
    const difference = check();
    if (difference !== undefined) return difference;
  }
  return undefined;
}

export function describeDifference(where: string, expected: unknown, actual: unknown): string {
  return `${where}: expected ${text(expected)}, got ${text(actual)}`;
}

function text(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value);
}

/** Whether a record is what is expected: a `ts` or `headers` that the expectation lacks may be anything. */
export function sameRecord(expected: Output, actual: Output): boolean {
  return (
    sameKey(expected.key, actual.key) &&
    same(expected.value, actual.value) &&
    (expected.ts === undefined || expected.ts === actual.ts) &&
    (expected.headers === undefined || same(expected.headers, actual.headers))
  );
}

/** An error that no step expects. */
function unexpectedError(of: ConformanceCase, { errors }: Observed): Difference {
  const steps = Object.values(byOutput(of.expected));
  for (const [step, error] of errors.entries()) {
    if (error === undefined) continue;
    if (!steps.some((expected) => throwTexts(expected[step]).some((text) => error.includes(text))))
      return `step ${String(step)}: failed: ${error}`;
  }
  return undefined;
}

/** The texts between quotes after `throws`. */
function throwTexts(expected: readonly Expected[] | string | null | undefined): readonly string[] {
  const items = typeof expected === 'string' ? [expected] : (expected ?? []);
  return items.flatMap((item) => {
    if (typeof item !== 'string' || !item.startsWith('throws')) return [];
    return [/"([^"]*)"/.exec(item)?.[1] ?? ''];
  });
}

function compareExpected(of: ConformanceCase, observed: Observed): Difference {
  if (of.verified === false && of.driverOutput !== undefined) return undefined;
  for (const [name, expected] of Object.entries(byOutput(of.expected))) {
    const difference = compareSteps(of, { name, expected, observed });
    if (difference !== undefined) return difference;
  }
  return undefined;
}

/** One output by name; a case with one output calls it `out`. */
function byOutput<T>(value: ByOutput<readonly T[]> | undefined): Readonly<Record<string, readonly T[]>> {
  if (value === undefined) return {};
  return isList(value) ? { out: value } : value;
}

function isList<T>(value: ByOutput<readonly T[]>): value is readonly T[] {
  return Array.isArray(value);
}

function compareSteps(
  of: ConformanceCase,
  check: { readonly name: string; readonly expected: Steps<Expected> | undefined; readonly observed: Observed },
): Difference {
  const { name, expected = [], observed } = check;
  let since: Output[] = [];
  for (const [step, wanted] of expected.entries()) {
    since.push(...(observed.outputs[name]?.[step] ?? []));
    if (wanted === null) continue;
    const where = `output ${name}, step ${step}`;
    if (throwTexts(wanted).length > 0 && observed.errors[step] === undefined)
      return describeDifference(where, wanted, since);
    const difference = compareStep(where, of, { name, wanted, actual: since });
    if (difference !== undefined) return difference;
    since = [];
  }
  return undefined;
}

function compareStep(
  where: string,
  of: ConformanceCase,
  step: { readonly name: string; readonly wanted: readonly Expected[] | string; readonly actual: Records },
): Difference {
  const { name, wanted, actual } = step;
  const mode = of.expectedMode ?? 'ordered-per-step';
  const records = typeof wanted === 'string' ? [] : resolved(of, wanted);
  if (mode.startsWith('map-per-step') || mode.startsWith('set-final'))
    return compareLast(where, { expected: records, actual, isWhole: true });
  return compareOrdered(where, arranged(mode, name, records), arranged(mode, name, actual));
}

/** `"raw" is stably sorted by (key string, ts)`: some outputs have no order of their own. */
function arranged(mode: string, name: string, records: Records): Records {
  if (!mode.includes(`"${name}" is stably sorted`)) return records;
  return records.toSorted((a, b) => compareText(keyText(a.key), keyText(b.key)) || (a.ts ?? 0) - (b.ts ?? 0));
}

/** `pass:<i>` is the record of input i. */
function resolved(of: ConformanceCase, wanted: readonly Expected[]): Records {
  return wanted.flatMap((item) => {
    if (typeof item !== 'string') return [item];
    if (!item.startsWith('pass:')) return [];
    const { key, value, ts } = of.input[Number(item.slice('pass:'.length))] as RecordInput;
    return [{ key, value, ...(ts === null ? {} : { ts }) }];
  });
}

function compareOrdered(where: string, expected: Records, actual: Records): Difference {
  for (let index = 0; index < Math.max(expected.length, actual.length); index += 1) {
    const wanted = expected[index];
    const got = actual[index];
    if (wanted === undefined || got === undefined || !sameRecord(wanted, got))
      return describeDifference(`${where}, record ${String(index)}`, wanted, got);
  }
  return undefined;
}

/** The last value per key. `isWhole`: no other keys. */
function compareLast(
  where: string,
  { expected, actual, isWhole }: { readonly expected: Records; readonly actual: Records; readonly isWhole: boolean },
): Difference {
  const last = new Map<string, Output>();
  for (const record of actual) last.set(keyText(record.key), record);
  for (const wanted of expected) {
    const got = last.get(keyText(wanted.key));
    if (got === undefined || !sameRecord(wanted, got)) return describeDifference(where, wanted, got);
    last.delete(keyText(wanted.key));
  }
  const [extra] = last.values();
  return isWhole && extra !== undefined ? describeDifference(where, undefined, extra) : undefined;
}

function compareFinal(of: ConformanceCase, observed: Observed): Difference {
  if (of.verified === false && of.driverOutput !== undefined) return undefined;
  for (const [name, expected] of Object.entries(byOutput(of.expectedFinal))) {
    const actual = (observed.outputs[name] ?? []).flat();
    const difference = compareWhole(`output ${name}`, of.expectedMode ?? 'final-ordered', { expected, actual });
    if (difference !== undefined) return difference;
  }
  return undefined;
}

function compareWhole(
  where: string,
  mode: string,
  { expected, actual }: { readonly expected: readonly unknown[]; readonly actual: Records },
): Difference {
  if (mode.startsWith('final-set-per-window'))
    return compareWindows(where, expected as readonly WindowValues[], actual);
  const records = expected as Records;
  if (mode.startsWith('final-last-per-key')) return compareLast(where, { expected: records, actual, isWhole: false });
  if (mode.startsWith('set-final') || mode.startsWith('map-'))
    return compareLast(where, { expected: records, actual, isWhole: true });
  if (mode.startsWith('final-sorted')) return compareOrdered(where, records, byKeyAndWindow(actual));
  if (mode.includes('first')) return compareOrdered(where, records, actual.slice(0, records.length));
  return compareOrdered(where, records, actual);
}

interface WindowValues {
  readonly start: number;
  readonly values: readonly { readonly value: unknown; readonly ts: number }[];
}

function compareWindows(where: string, expected: readonly WindowValues[], actual: Records): Difference {
  const starts = new Set([...expected.map(({ start }) => start), ...actual.map(({ key }) => windowStart(key))]);
  for (const start of starts) {
    const wanted = new Set(
      expected.filter((window) => window.start === start).flatMap(({ values }) => values.map(valueText)),
    );
    const got = new Set(actual.filter(({ key }) => windowStart(key) === start).map(valueText));
    if (wanted.size !== got.size || [...wanted].some((text) => !got.has(text)))
      return describeDifference(`${where}, window ${String(start)}`, [...wanted], [...got]);
  }
  return undefined;
}

function valueText({ value, ts }: { readonly value: unknown; readonly ts?: number }): string {
  return JSON.stringify([value, ts]);
}

function byKeyAndWindow(records: Records): Records {
  return records.toSorted(
    (a, b) => compareText(plainKeyText(a.key), plainKeyText(b.key)) || windowStart(a.key) - windowStart(b.key),
  );
}

/** Everything the driver of Kafka Streams emitted, record for record. */
function compareDriverOutput(of: ConformanceCase, observed: Observed): Difference {
  for (const [name, steps] of Object.entries(of.driverOutput ?? {})) {
    for (const [step, expected] of steps.entries()) {
      if (!Array.isArray(expected)) continue;
      const actual = observed.outputs[name]?.[step] ?? [];
      const difference = compareOrdered(`driver output ${name}, step ${String(step)}`, expected as Records, actual);
      if (difference !== undefined) return difference;
    }
  }
  return undefined;
}

function compareStores(of: ConformanceCase, { stores }: Observed): Difference {
  for (const steps of [of.store, of.storeAfter]) {
    for (const [step, expected] of (steps ?? []).entries()) {
      if (!Array.isArray(expected)) continue;
      const difference = compareContent(`store after step ${String(step)}`, expected as Records, stores[step] ?? []);
      if (difference !== undefined) return difference;
    }
  }
  return of.storeFinal === undefined
    ? undefined
    : compareContent('store at the end', of.storeFinal, stores.at(-1) ?? []);
}

function compareContent(where: string, expected: Records, actual: Records): Difference {
  return compareLast(where, { expected, actual, isWhole: true });
}

function compareDrops(of: ConformanceCase, { drops }: Observed): Difference {
  for (const [step, expected] of (of.dropped ?? []).entries()) {
    const hasDropped = (drops[step] ?? 0) > (drops[step - 1] ?? 0);
    if (expected !== null && expected !== hasDropped)
      return describeDifference(`dropped in step ${String(step)}`, expected, hasDropped);
  }
  const total = drops.at(-1) ?? 0;
  if (of.droppedTotal === undefined || of.droppedTotal === total) return undefined;
  return describeDifference('dropped records', of.droppedTotal, total);
}

function sameKey(expected: unknown, actual: unknown): boolean {
  if (typeof expected === 'string' && isWindowed(actual)) return expected === keyText(actual);
  return same(expected, actual);
}

/** Numbers that were single precision on the way are equal in it. */
function same(expected: unknown, actual: unknown): boolean {
  if (isObject(expected) && isObject(actual)) return sameEntries(expected, actual);
  if (typeof expected === 'number' && typeof actual === 'number')
    return expected === actual || Math.fround(expected) === actual;
  return expected === actual;
}

function sameEntries(expected: object, actual: object): boolean {
  const wanted = Object.entries(expected);
  const got = new Map(Object.entries(actual).filter(([, value]) => value !== undefined));
  return (
    Array.isArray(expected) === Array.isArray(actual) &&
    wanted.length === got.size &&
    wanted.every(([name, value]) => got.has(name) && same(value, got.get(name)))
  );
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function isWindowed(key: unknown): key is WindowedKey {
  return typeof key === 'object' && key !== null && 'start' in key && 'end' in key && 'key' in key;
}

/** As `Windowed.toString()` writes it; other keys as JSON. */
function keyText(key: unknown): string {
  if (isWindowed(key)) return `[${String(key.key)}@${String(key.start)}/${String(key.end)}]`;
  return typeof key === 'string' ? key : JSON.stringify(key);
}

function plainKeyText(key: unknown): string {
  return isWindowed(key) ? keyText(key.key) : keyText(key);
}

function windowStart(key: unknown): number {
  return isWindowed(key) ? key.start : -1;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
