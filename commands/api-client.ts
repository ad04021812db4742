/** Asks a running instance on behalf of a command line. */
import { isObject } from '../api/peer-answer.ts';
import type { Clock } from '../clock.ts';

export interface Answer {
  /** 0: nobody answered. */
  readonly status: number;
  /** Parsed, or text where the answer is no JSON. */
  readonly body: unknown;
}

export type Request = (method: 'GET' | 'POST', path: string, body?: object) => Promise<Answer>;

/** What a command that asks an instance is given. */
export interface ApiConsole {
  /** Of a running instance; takes URLs of others as well. */
  readonly request: Request;
  readonly print: (line: string) => void;
  readonly clock: Clock;
}

/** Prints why; returns the exit code. */
export function refused(body: unknown, print: ApiConsole['print']): number {
  const detail: unknown = isObject(body) ? body['detail'] : undefined;
  print(typeof detail === 'string' ? detail : 'refused');
  return 1;
}

/** Paths are relative to `url`; a path that is a URL is asked there. */
export function requestTo(url: string, headers: Readonly<Record<string, string>>): Request {
  return async (method, path, body) => {
    const sent = body === undefined ? { headers } : { headers: { ...headers, 'content-type': 'application/json' } };
    try {
      const response = await fetch(new URL(path, url), {
        method,
        ...sent,
        body: body === undefined ? null : JSON.stringify(body),
      });
      const isText = response.headers.get('content-type')?.startsWith('text/plain') === true;
      return { status: response.status, body: isText ? await response.text() : await response.json() };
    } catch {
      return { status: 0, body: { detail: `nothing that is Rivulet answers at ${url}` } };
    }
  };
}
