/** Reading of untrusted JSON: only own properties count, every value is checked, and what is returned was built here. */
import { StreamError } from '../../index.ts';
import { idLengthMax, textLengthMax } from './customer/fields.ts';

/** The largest list or map taken from one record. */
const entriesMax = 10_000;

function refuse(where: string, problem: string): never {
  refuseFor('field_invalid', where, problem);
}

/** `reason`: a word for programs. Throws `DESERIALIZATION_FAILED`. */
export function refuseFor(reason: string, where: string, problem: string): never {
  throw new StreamError('DESERIALIZATION_FAILED', `${where}: ${problem}`, { facts: { reason } });
}

/** Whether `value` is an object that is neither `null` nor a list. */
export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value of an object's own property; `undefined` if it has none of that name, whatever its prototype has. */
export function ownValue(object: object, name: string): unknown {
  const value: unknown = Object.hasOwn(object, name) ? Reflect.get(object, name) : undefined;
  return value;
}

/** Own property `name` as an object, else `undefined`. */
export function ownObject(object: object, name: string): object | undefined {
  const value = ownValue(object, name);
  return isObject(value) ? value : undefined;
}

/** Whether text can be stored anywhere: no NUL, no lone surrogate. */
export function isStorableText(text: string): boolean {
  return !text.includes('\u0000') && text.isWellFormed();
}

/** Text that can be stored and is not longer than `lengthMax` UTF-16 code units. */
export function readText(value: unknown, where: string, lengthMax = textLengthMax): string {
  if (typeof value !== 'string') return refuse(where, 'not text');
  if (value.length > lengthMax) return refuse(where, `longer than ${lengthMax}`);
  return isStorableText(value) ? value : refuse(where, 'text with NUL or a lone surrogate');
}

/** A reference such as `a:17`. */
export function readRef(value: unknown, where: string): string {
  return readText(value, where, idLengthMax + 2);
}

function readCount(value: unknown, where: string): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : refuse(where, 'not a count');
}

function readBoolean(value: unknown, where: string): boolean {
  return typeof value === 'boolean' ? value : refuse(where, 'not a boolean');
}

/** One of the allowed words. */
export function readOneOf<T extends string>(value: unknown, where: string, allowed: readonly T[]): T {
  return allowed.find((word) => word === value) ?? refuse(where, `not one of ${allowed.join(', ')}`);
}

/** A list of at most 10,000 entries, each parsed. */
export function readList<T>(value: unknown, where: string, parse: (value: unknown, where: string) => T): readonly T[] {
  if (!Array.isArray(value) || value.length > entriesMax) return refuse(where, 'not a list of bearable length');
  return value.map((entry: unknown, index) => parse(entry, `${where}[${index}]`));
}

/** An object as a map of at most 10,000 entries. Names that objects inherit are refused, as no reference, field or system is called so. */
export function readMap<T>(
  value: unknown,
  where: string,
  parse: (value: unknown, where: string) => T,
): Readonly<Record<string, T>> {
  if (!isObject(value)) return refuse(where, 'not an object');
  const names = Object.keys(value).sort();
  if (names.length > entriesMax) return refuse(where, 'too many entries');
  const entries: [string, T][] = [];
  for (const name of names) {
    if (name in Object.prototype) return refuse(where, 'reserved name');
    entries.push([readRef(name, where), parse(ownValue(value, name), `${where}.${name.slice(0, 40)}`)]);
  }
  return Object.fromEntries(entries);
}

/** Reads the properties of one object; every method throws `DESERIALIZATION_FAILED`, naming the property but never its value. */
export class ObjectReader {
  readonly #object: object;
  readonly #where: string;

  constructor(object: object, where: string) {
    this.#object = object;
    this.#where = where;
  }

  raw(name: string): unknown {
    return ownValue(this.#object, name);
  }

  text(name: string, lengthMax?: number): string {
    return readText(this.raw(name), this.#at(name), lengthMax);
  }

  optionalText(name: string, lengthMax?: number): string | undefined {
    const value = this.#given(name);
    return value === undefined ? undefined : readText(value, this.#at(name), lengthMax);
  }

  /** A safe integer, at least 0. */
  count(name: string): number {
    return readCount(this.raw(name), this.#at(name));
  }

  optionalCount(name: string): number | undefined {
    const value = this.#given(name);
    return value === undefined ? undefined : readCount(value, this.#at(name));
  }

  /** False if absent. */
  flag(name: string): boolean {
    const value = this.#given(name);
    return value !== undefined && readBoolean(value, this.#at(name));
  }

  oneOf<T extends string>(name: string, allowed: readonly T[]): T {
    return readOneOf(this.raw(name), this.#at(name), allowed);
  }

  optionalOneOf<T extends string>(name: string, allowed: readonly T[]): T | undefined {
    const value = this.#given(name);
    return value === undefined ? undefined : readOneOf(value, this.#at(name), allowed);
  }

  with<T>(name: string, parse: (value: unknown, where: string) => T): T {
    return parse(this.raw(name), this.#at(name));
  }

  optionalWith<T>(name: string, parse: (value: unknown, where: string) => T): T | undefined {
    const value = this.#given(name);
    return value === undefined ? undefined : parse(value, this.#at(name));
  }

  list<T>(name: string, parse: (value: unknown, where: string) => T): readonly T[] {
    return readList(this.raw(name), this.#at(name), parse);
  }

  /** An object as a map: every own property parsed, in order of names. */
  map<T>(name: string, parse: (value: unknown, where: string) => T): Readonly<Record<string, T>> {
    return readMap(this.raw(name), this.#at(name), parse);
  }

  #at(name: string): string {
    return `${this.#where}.${name}`;
  }

  #given(name: string): unknown {
    return this.raw(name) ?? undefined;
  }
}

/** Starts reading an object; throws `DESERIALIZATION_FAILED` if `value` is none. */
export function readObject(value: unknown, where: string): ObjectReader {
  return isObject(value) ? new ObjectReader(value, where) : refuse(where, 'not an object');
}

/** The object without its `undefined` properties, so that equal values have equal JSON; the very one passed in if it has none. */
export function compact<T extends object>(value: T): Compact<T> {
  for (const name in value) if (value[name] === undefined) return withoutUndefined(value);
  return value;
}

function withoutUndefined<T extends object>(value: T): Compact<T> {
  const result: Partial<T> = {};
  for (const name in value) if (value[name] !== undefined) result[name] = value[name];
  return result as unknown as Compact<T>;
}

/** `T` with `undefined` taken out of its optional properties. */
export type Compact<T> = { [P in keyof T as undefined extends T[P] ? never : P]: T[P] } & {
  [P in keyof T as undefined extends T[P] ? P : never]?: Exclude<T[P], undefined>;
};
