/** Reads JSON over HTTP from, and changes it in, a system that may be slow, busy or away: timeouts, retries, a breaker, bounded answers. */
import type { Clock, Random } from '../clock.ts';
import { StreamError, hasCode } from '../errors.ts';
import type { CircuitBreaker } from './circuit-breaker.ts';

/** The part of `fetch` that is used. */
export type Fetch = (
  url: string,
  init: {
    readonly method: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly signal: AbortSignal;
    readonly redirect: 'error';
    readonly body?: string;
  },
) => Promise<FetchedResponse>;

export interface FetchedResponse {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: AsyncIterable<Uint8Array> | null;
}

export interface HttpSourceOptions {
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly random: Random;
  readonly breaker: CircuitBreaker;
  /** Sent with every request, e.g. authorization. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Of one request, to its last byte. */
  readonly timeoutMs?: number;
  /** Tries after the first one. */
  readonly retries?: number;
  /** Told how long each request took. */
  readonly onRequest?: (seconds: number) => void;
}

export interface JsonAnswer {
  /** `not-modified`: what the entity tag names is still the answer. */
  readonly kind: 'found' | 'not-modified';
  readonly body: unknown;
  readonly etag: string | undefined;
  /** Target of the `Link` header with relation `next`, as written. */
  readonly next: string | undefined;
}

export interface HttpSource {
  /**
   * Rejects with `DEPENDENCY_UNAVAILABLE` if the system does not answer, or says 429 or 5xx, after all retries; with `DEPENDENCY_REFUSED` (fact
   * `status`) for any other answer that is not 200 or 304, or no JSON.
   */
  get(url: string, options: { readonly signal: AbortSignal; readonly etag?: string | undefined }): Promise<JsonAnswer>;
  /**
   * Changes what the entity tag names, and nothing else (`If-Match`). Rejects like `get`; with status 412 if it is another one by now, or became
   * so by an earlier try whose answer was lost.
   */
  patch(
    url: string,
    options: { readonly signal: AbortSignal; readonly etag: string; readonly body: object },
  ): Promise<void>;
  /** Asks for something to be done once, however often it is asked for under this key (`Idempotency-Key`). Rejects like `get`, for any answer but 2xx. */
  post(
    url: string,
    options: { readonly signal: AbortSignal; readonly idempotencyKey: string; readonly body: string },
  ): Promise<{ readonly status: number; readonly body: unknown }>;
}

const defaults = { timeoutMs: 10_000, retries: 3 } as const;
const backoff = { firstMs: 500, longestMs: 30_000 } as const;
/** A system that asks for more patience gets the poll's next turn. */
const retryAfterMaxMs = 60_000;
const bodyBytesMax = 32 * 1024 * 1024;

class Busy extends Error {
  readonly waitMs: number | undefined;

  constructor(message: string, waitMs: number | undefined) {
    super(message);
    this.waitMs = waitMs;
  }
}

export function createHttpSource(options: HttpSourceOptions): HttpSource {
  const { clock, random, breaker, retries } = { ...defaults, ...options };
  const patiently = async (url: string, request: Request): Promise<Answer> => {
    const { signal } = request;
    for (let failures = 0; ; failures += 1)
      try {
        return await breaker.guard(() => attempt(url, { ...defaults, ...options, ...request }));
      } catch (error) {
        if (!hasCode(error, 'DEPENDENCY_UNAVAILABLE') || failures >= retries || signal.aborted) throw error;
        if (breaker.state !== 'closed') throw error;
        const asked = error.cause instanceof Busy ? error.cause.waitMs : undefined;
        const backoffMs = Math.min(backoff.firstMs * 2 ** failures, backoff.longestMs) * (0.5 + random.next() / 2);
        await clock.sleep(Math.max(asked ?? 0, backoffMs), signal);
      }
  };
  return {
    get: async (url, { signal, etag }) => {
      const headers = { ...options.headers, ...(etag === undefined ? {} : { 'if-none-match': etag }) };
      return jsonAnswer(await patiently(url, { method: 'GET', signal, headers }));
    },
    patch: async (url, { signal, etag, body }) => {
      const headers = { ...options.headers, 'if-match': etag, 'content-type': 'application/merge-patch+json' };
      done(await patiently(url, { method: 'PATCH', signal, headers, body: JSON.stringify(body) }));
    },
    post: async (url, { signal, idempotencyKey, body }) => {
      const headers = { ...options.headers, 'idempotency-key': idempotencyKey, 'content-type': 'application/json' };
      const { status, text } = done(await patiently(url, { method: 'POST', signal, headers, body }));
      return { status, body: jsonOf(text) };
    },
  };
}

interface Request {
  readonly method: 'GET' | 'PATCH' | 'POST';
  readonly signal: AbortSignal;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

interface Attempt extends Omit<HttpSourceOptions, 'headers'>, Request {
  readonly timeoutMs: number;
}

/** One request, ended by its time or by `signal`. */
async function attempt(url: string, options: Attempt): Promise<Answer> {
  const { fetch, clock, method, headers, body, timeoutMs, signal, onRequest } = options;
  const end = new AbortController();
  const abort = (): void => end.abort();
  const timer = clock.timer(timeoutMs, abort);
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  const startedMs = clock.monotonicMs();
  try {
    const response = await fetch(url, {
      method,
      headers: { accept: 'application/json', ...headers },
      ...(body === undefined ? {} : { body }),
      signal: end.signal,
      redirect: 'error',
    });
    return await answerOf(response);
  } catch (error) {
    throw error instanceof StreamError ? error : unavailable('the system does not answer', error);
  } finally {
    timer.cancel();
    signal.removeEventListener('abort', abort);
    onRequest?.((clock.monotonicMs() - startedMs) / 1_000);
  }
}

/** Of a system that is neither away nor busy. */
interface Answer {
  readonly status: number;
  readonly text: string;
  readonly etag: string | undefined;
  readonly link: string | null;
}

async function answerOf(response: FetchedResponse): Promise<Answer> {
  const { status, headers } = response;
  const text = await textOf(response);
  if (status === 429 || status >= 500)
    throw unavailable(
      `the system answers ${status}`,
      new Busy('busy', retryAfterMs(headers.get('retry-after'))),
      status,
    );
  return { status, text, etag: headers.get('etag') ?? undefined, link: headers.get('link') };
}

function jsonAnswer({ status, text, etag, link }: Answer): JsonAnswer {
  if (status === 304) return { kind: 'not-modified', body: undefined, etag, next: undefined };
  if (status !== 200) throw refused(`the system answers ${status}`, status);
  const body = jsonOf(text);
  if (body === undefined) throw refused('the answer is not JSON', status);
  return { kind: 'found', body, etag, next: nextLink(link) };
}

/** Whatever it says beside its status. */
function done(answer: Answer): Answer {
  const { status } = answer;
  if (status < 200 || status > 299) throw refused(`the system answers ${status}`, status);
  return answer;
}

/** `undefined` if it is none. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

async function textOf({ body }: FetchedResponse): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.length;
    if (bytes > bodyBytesMax) throw refused(`the answer is longer than ${bodyBytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Seconds only; a date would need the other side's clock. */
function retryAfterMs(header: string | null): number | undefined {
  return header !== null && /^\d{1,6}$/.test(header) ? Math.min(Number(header) * 1_000, retryAfterMaxMs) : undefined;
}

/** RFC 8288, as far as pages need it. */
function nextLink(header: string | null): string | undefined {
  const links = header === null || header.length > 8_192 ? [] : header.split(/,(?=\s*<)/);
  for (const link of links) {
    const match = /^\s*<([^>]+)>\s*;(?:.*;)?\s*rel="?next"?\s*(?:;|$)/.exec(link);
    if (match?.[1] !== undefined) return match[1];
  }
  return undefined;
}

function unavailable(message: string, cause: unknown, status?: number): StreamError {
  return new StreamError('DEPENDENCY_UNAVAILABLE', message, { facts: { status }, cause });
}

function refused(message: string, status?: number): StreamError {
  return new StreamError('DEPENDENCY_REFUSED', message, { facts: { status } });
}
