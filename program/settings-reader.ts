/** Parses environment variables one by one, and collects what is wrong with them. */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { StreamError } from '../errors.ts';

/** A credential: shows as `***` wherever it is printed, logged or turned into JSON. */
export interface Secret {
  reveal(): string;
  toString(): string;
  toJSON(): string;
}

/** Wraps a credential. */
export function secret(value: string): Secret {
  const masked = (): string => '***';
  return Object.freeze({
    reveal: () => value,
    toString: masked,
    toJSON: masked,
    [Symbol.for('nodejs.util.inspect.custom')]: masked,
  });
}

/** The header that shows it to an API; none without it. */
export function bearer(token: Secret | undefined): Readonly<Record<string, string>> {
  return token === undefined ? {} : { authorization: `Bearer ${token.reveal()}` };
}

/** One environment variable, as read and as documented. */
export interface Variable {
  readonly name: string;
  /** As documented; empty: not set. */
  readonly initial: string;
  /** Also read from the file that `<name>_FILE` names. */
  readonly isSecret?: boolean;
}

export interface ReaderSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly variables: readonly Variable[];
  /** Reads a file that a variable names. */
  readonly readFile?: ((path: string) => string) | undefined;
}

/** Parses variables one by one and collects what is wrong with them. */
export class SettingsReader {
  readonly #sources: ReaderSources;
  readonly #problems: string[] = [];

  constructor(sources: ReaderSources) {
    this.#sources = sources;
  }

  refuse(name: string, problem: string): void {
    this.#problems.push(`${name} ${problem}`);
  }

  finish(): void {
    if (this.#problems.length > 0) throw new StreamError('CONFIG_INVALID', this.#problems.join('; '));
  }

  /** The trimmed value, else the initial one, else `undefined`. Set but empty counts as not set. */
  text(name: string): string | undefined {
    const variable = this.#sources.variables.find((candidate) => candidate.name === name);
    if (variable === undefined) throw new Error(`assertion failed: ${name} is not in the table of variables`);
    const value = (this.#sources.env[name] ?? '').trim();
    const chosen = value === '' ? variable.initial : value;
    return chosen === '' ? undefined : chosen;
  }

  required(name: string): string {
    const value = this.text(name);
    if (value === undefined) this.refuse(name, 'is required');
    return value ?? '';
  }

  integer(name: string, bounds: { readonly min: number; readonly max: number }): number {
    const text = this.required(name);
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= bounds.min && value <= bounds.max))
      this.refuse(name, `must be a whole number from ${bounds.min} to ${bounds.max}, not ${quote(text)}`);
    return value;
  }

  boolean(name: string): boolean {
    return this.choice(name, ['true', 'false']) === 'true';
  }

  choice<C extends string>(name: string, choices: readonly [C, ...C[]]): C {
    const text = this.required(name);
    const found = choices.find((choice) => choice === text);
    if (found === undefined) this.refuse(name, `must be one of ${choices.join(', ')}, not ${quote(text)}`);
    return found ?? choices[0];
  }

  /** Several of `choices`, without repetition; all of them when not set. */
  choices(name: string, choices: readonly string[]): readonly string[] {
    const text = this.text(name);
    if (text === undefined) return choices;
    const wanted = [...new Set(splitList(text))];
    const unknown = wanted.filter((item) => !choices.includes(item));
    if (unknown.length > 0 || wanted.length === 0)
      this.refuse(name, `must list some of ${choices.join(', ')}, not ${quote(text)}`);
    return wanted;
  }

  list(name: string, pattern: RegExp, expected: string): readonly string[] {
    const text = this.text(name);
    if (text === undefined) return [];
    const items = splitList(text);
    if (items.length === 0 || items.length > 100 || items.some((item) => item.length > 300 || !pattern.test(item)))
      this.refuse(name, `must be ${expected}, not ${quote(text)}`);
    return items;
  }

  /** Names become parts of topic names and paths. */
  name(name: string, lengthMax: number): string | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    if (!/^[a-zA-Z0-9._-]+$/.test(text) || text.length > lengthMax || text === '.' || text === '..')
      this.refuse(
        name,
        `must consist of at most ${lengthMax} letters, digits, dots, underscores and hyphens, not ${quote(text)}`,
      );
    return text;
  }

  host(): string {
    const text = this.required('HOST');
    if (isIP(text) === 0 && !/^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,252})$/.test(text))
      this.refuse('HOST', `must be an address or a host name, not ${quote(text)}`);
    return text;
  }

  /** An origin without path, query or credentials. */
  url(name: string): string | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const url = URL.canParse(text) ? new URL(text) : undefined;
    const isOrigin = url !== undefined && `${url.origin}/` === url.href;
    if (url?.protocol !== 'http:' || !isOrigin) this.refuse(name, 'must be of the form http://host:port');
    return url?.origin;
  }

  /** An http or https address, possibly with a path; no credentials, query or fragment. */
  endpoint(name: string): string | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const url = URL.canParse(text) ? new URL(text) : undefined;
    const isPlain = url !== undefined && `${url.origin}${url.pathname}` === url.href && /^https?:$/.test(url.protocol);
    if (!isPlain) this.refuse(name, 'must be of the form http(s)://host[:port][/path]');
    return url?.href;
  }

  /** The content of the file a variable names. */
  file(name: string): string | undefined {
    const path = this.text(name);
    return path === undefined ? undefined : this.#read(name, path);
  }

  /** From the variable or from the file `<name>_FILE` names. */
  secret(name: string): Secret | undefined {
    const fileName = `${name}_FILE`;
    const { env } = this.#sources;
    if (env[name] !== undefined && env[fileName] !== undefined) this.refuse(name, `and ${fileName} exclude each other`);
    const path = env[fileName];
    const value = path === undefined ? env[name] : this.#read(fileName, path)?.replace(/\r?\n$/, '');
    if (value === '') this.refuse(path === undefined ? name : fileName, 'is empty');
    return value === undefined || value === '' ? undefined : secret(value);
  }

  /** `postgresql://user:password@host:port/database`: a secret for the password in it. */
  databaseUrl(name: string): Secret | undefined {
    const value = this.secret(name);
    if (value === undefined) return undefined;
    const url = URL.canParse(value.reveal()) ? new URL(value.reveal()) : undefined;
    if (url === undefined || !/^postgres(ql)?:$/.test(url.protocol) || url.pathname.length < 2)
      this.refuse(name, 'must be of the form postgresql://user:password@host:port/database');
    return value;
  }

  /** A secret that clients send as a bearer token. */
  token(name: string): Secret | undefined {
    const value = this.secret(name);
    if (value !== undefined && !/^[\w.~+/=-]{16,512}$/.test(value.reveal()))
      this.refuse(name, 'must be 16 to 512 characters of letters, digits and -._~+/=');
    return value;
  }

  #read(name: string, path: string): string | undefined {
    try {
      return (this.#sources.readFile ?? readText)(path);
    } catch (cause) {
      const code = (cause as { code?: unknown }).code;
      this.refuse(name, `names a file that cannot be read${typeof code === 'string' ? ` (${code})` : ''}`);
      return undefined;
    }
  }
}

function readText(path: string): string {
  return readFileSync(path, 'utf8');
}

function splitList(text: string): readonly string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}
