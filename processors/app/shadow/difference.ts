/** What two answers disagree on, however each of them writes the same. Pure. */
import { canonicalJson } from '../../../index.ts';
import { microsFrom } from '../../../schemas/app/customer/instant.ts';
import { compareText } from '../../../schemas/app/customer/fields.ts';
import { isObject, ownValue } from '../../../schemas/app/reader.ts';

/** Levels of objects that are looked into; below they are compared as text. */
const depthMax = 8;

/** The paths of what differs, in order. `ignored` are names that say nothing of the content, wherever they stand. */
export function differences(left: unknown, right: unknown, ignored: readonly string[] = []): readonly string[] {
  return [...differing(left, right, { ignored: new Set(ignored), path: '', depth: 0 })].sort(compareText);
}

interface Place {
  readonly ignored: ReadonlySet<string>;
  readonly path: string;
  readonly depth: number;
}

function* differing(left: unknown, right: unknown, place: Place): Generator<string> {
  if (place.depth < depthMax && isObject(left) && isObject(right)) {
    const [ofLeft, ofRight] = [namesOf(left), namesOf(right)];
    for (const name of new Set([...ofLeft.keys(), ...ofRight.keys()])) {
      if (place.ignored.has(name)) continue;
      const path = place.path === '' ? name : `${place.path}.${name}`;
      yield* differing(ofLeft.get(name), ofRight.get(name), { ...place, path, depth: place.depth + 1 });
    }
    return;
  }
  if (textOf(left) !== textOf(right)) yield place.path;
}

/** Own properties by their names as the other side may write them: `contract_start` is `contractStart`. */
function namesOf(value: object): ReadonlyMap<string, unknown> {
  return new Map(
    Object.keys(value).map((name) => {
      const camel = name.replace(/(?<=[a-z0-9])_([a-z])/g, (_match, letter: string) => letter.toUpperCase());
      return [camel, ownValue(value, name)] as const;
    }),
  );
}

const nothing = '';

function textOf(value: unknown): string {
  if (value === undefined || value === null || value === '') return nothing;
  if (typeof value === 'number' || typeof value === 'bigint') return textOfScalar(String(value));
  if (typeof value === 'string') return textOfScalar(value.normalize('NFC').trim());
  return canonicalJson(value) ?? nothing;
}

/** A decimal number without what does not count; an instant, or the midnight that begins a day, in microseconds. */
function textOfScalar(text: string): string {
  if (/^-?(0|[1-9]\d*)(\.\d+)?$/.test(text))
    return text
      .replace(/(\.\d*?)0+$/, '$1')
      .replace(/\.$/, '')
      .replace(/^-0$/, '0');
  if (!/^\d{4}-\d{2}-\d{2}/.test(text)) return text;
  const instant = microsFrom(text.length === 10 ? `${text}T00:00:00Z` : text);
  return instant === undefined ? text : `instant ${instant}`;
}
