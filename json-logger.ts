/** Logs as one JSON object a line, safe to be read by machines and shown on terminals: nothing in it can break the line, hide text or leak a credential. */
import type { Clock, LogFacts, Logger, LogLevel } from './clock.ts';
import { StreamError } from './errors.ts';

/** Bounds of one line, so that hostile or huge facts cannot flood the log. */
const limits = { stringChars: 1_024, items: 32, depth: 5, lineChars: 16_384, stackChars: 2_048 };

const severity: Readonly<Record<LogLevel, number>> = { debug: 10, info: 20, warn: 30, error: 40 };

export interface JsonLoggerOptions {
  /** Events below this are dropped. */
  readonly level: LogLevel;
  readonly clock: Clock;
  /** Gets one line without its newline. */
  readonly write: (line: string) => void;
  /** Facts added to every event, e.g. the instance id. */
  readonly facts?: LogFacts;
}

/** Names of facts whose values are credentials, whoever logs them. */
const secretName =
  /pass(word|wd|phrase)?$|password|secret|token|^authorization$|^proxy-authorization$|cookie|^sasl$|credential|api-?_?key|private-?_?key/i;

/** Credentials inside text: user information of a URL, bearer and basic tokens, `password=…`. */
const secretTexts: readonly (readonly [RegExp, string])[] = [
  [/\b([a-z][a-z0-9+.-]{0,31}:\/\/)[^\s/@]{1,512}@/gi, '$1***@'],
  [/\b(bearer|basic)\s+[\w.~+/=-]{1,4096}/gi, '$1 ***'],
  [
    /\b(password|passwd|secret|token|api_?key)(["']?\s{0,4}[=:]\s{0,4})("[^"]{0,512}"|'[^']{0,512}'|[^\s,;&"']{1,512})/gi,
    '$1$2***',
  ],
];

/** C1 controls, line separators and marks that change the direction or visibility of text; JSON escapes C0 controls and lone surrogates itself. */
const invisible = /[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** A logger that writes `{"time","level","message","facts"}` per event and never throws. */
export function createJsonLogger(options: JsonLoggerOptions): Logger {
  const { level: lowest, clock, write, facts: common } = options;
  const log = (level: LogLevel, message: string, facts: LogFacts | undefined): void => {
    if (severity[level] < severity[lowest]) return;
    const all = common === undefined ? facts : { ...common, ...facts };
    write(toLine({ time: new Date(clock.nowMs()).toISOString(), level, message: cleanText(message) }, all));
  };
  return {
    debug: (message, facts) => log('debug', message, facts),
    info: (message, facts) => log('info', message, facts),
    warn: (message, facts) => log('warn', message, facts),
    error: (message, facts) => log('error', message, facts),
  };
}

function toLine(event: Readonly<Record<string, string>>, facts: LogFacts | undefined): string {
  const line = JSON.stringify(facts === undefined ? event : { ...event, facts: cleanValue(facts, 0) });
  const safe = line.length <= limits.lineChars ? line : JSON.stringify({ ...event, facts: '[too large]' });
  return safe.replace(invisible, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Credentials in `text` replaced by `***`, its length capped. */
export function cleanText(text: string): string {
  // Capped first, a little above the bound: patterns never run over a text of any length.
  let clean = text.slice(0, limits.stringChars * 2);
  for (const [pattern, replacement] of secretTexts) clean = clean.replace(pattern, replacement);
  if (clean.length <= limits.stringChars && text.length <= limits.stringChars * 2) return clean;
  return `${clean.slice(0, limits.stringChars)}… (${text.length} characters)`;
}

function cleanValue(value: unknown, depth: number): unknown {
  if (value === null || value === undefined || typeof value === 'boolean') return value;
  if (typeof value === 'object') return cleanObject(value, depth);
  if (typeof value === 'string') return cleanText(value);
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  return typeof value === 'number' || typeof value === 'bigint' ? String(value) : `[${typeof value}]`;
}

function cleanObject(value: object, depth: number): unknown {
  if (depth >= limits.depth) return '[deep]';
  if (value instanceof Error) return cleanError(value, depth);
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (value instanceof Map)
    return cleanProperties(
      [...value].map(([name, item]) => [String(name), item]),
      depth,
    );
  if (Array.isArray(value) || value instanceof Set) {
    const items = [...value] as readonly unknown[];
    const kept = items.slice(0, limits.items).map((item) => cleanValue(item, depth + 1));
    return items.length > limits.items ? [...kept, `[${items.length - limits.items} more]`] : kept;
  }
  return cleanProperties(readProperties(value), depth);
}

function readProperties(value: object): readonly (readonly [string, unknown])[] {
  try {
    return Object.entries(value);
  } catch {
    return [['unreadable', true]];
  }
}

function cleanProperties(properties: readonly (readonly [string, unknown])[], depth: number): unknown {
  // A null prototype: a fact named __proto__ is a fact like any other.
  const clean = Object.create(null) as Record<string, unknown>;
  for (const [name, item] of properties.slice(0, limits.items))
    clean[cleanText(name)] = secretName.test(name) && item !== undefined ? '***' : cleanValue(item, depth + 1);
  if (properties.length > limits.items) clean['more'] = properties.length - limits.items;
  return clean;
}

function cleanError(error: Error, depth: number): unknown {
  const code = (error as { code?: unknown }).code;
  return {
    name: cleanText(error.name),
    message: cleanText(error.message),
    ...(typeof code === 'string' ? { code: cleanText(code) } : {}),
    ...(error instanceof StreamError ? { facts: cleanValue(error.facts, depth + 1) } : {}),
    ...(depth === 0 || !(error instanceof StreamError) ? stackOf(error) : {}),
    ...(error.cause === undefined ? {} : { cause: cleanValue(error.cause, depth + 1) }),
    ...(error instanceof AggregateError ? { errors: cleanValue(error.errors, depth + 1) } : {}),
  };
}

function stackOf(error: Error): { readonly stack?: string } {
  // Frames only: the first line repeats the message.
  const frames = /\n {4}at [\s\S]*/.exec(error.stack ?? '')?.[0];
  return frames === undefined ? {} : { stack: cleanText(frames.trim().slice(0, limits.stackChars)) };
}
