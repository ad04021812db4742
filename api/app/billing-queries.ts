/** What queries of billing have in common: whose rows, how many of them, as of when, and what may go wrong. */
import { microsFrom } from '../../schemas/app/customer/instant.ts';
import { Problem } from '../problem.ts';
import { boundedInteger, waitParameter, type RouteDescription } from '../routes.ts';

export interface Paging {
  readonly wait?: string;
  readonly limit?: string;
  readonly cursor?: string;
}

const rows = { min: 1, max: 500, initial: 50 };

export const idParams = {
  type: 'object',
  required: ['id'],
  properties: { id: { type: 'string', minLength: 1, maxLength: 80 } },
};

/** `counted`: what the limit is of. */
export const pagingParameters = (counted: string) =>
  ({
    ...waitParameter,
    limit: {
      type: 'string',
      pattern: '^\\d{1,4}$',
      description: `${counted}, ${rows.min} to ${rows.max}; default ${rows.initial}`,
    },
    cursor: { type: 'string', description: '`next` of the page before' },
  }) as const;

export const queryProblems: NonNullable<RouteDescription['problems']> = {
  400: ['request_invalid', 'query_invalid'],
  421: ['misdirected'],
  503: ['store_not_ready', 'position_not_reached', 'peer_unavailable', 'too_many_scans'],
};

/** Throws a `Problem` for a limit out of bounds. */
export function rowsWanted(limit: string | undefined): number {
  return boundedInteger('limit', limit, rows);
}

const instant = { type: 'string', maxLength: 40 };

/** `done`: what is done in the period. */
export const periodParameters = (done: string) => ({
  from: { ...instant, description: `${done} at this instant or later, ISO 8601` },
  to: { ...instant, description: `${done} before this instant` },
});

export interface Period {
  readonly from?: string;
  readonly to?: string;
}

/** Later than anything that is written down. */
export const endOfTime = Number.MAX_SAFE_INTEGER - 1;

/** In microseconds; all of time where nothing is said. Throws a `Problem` for what is no instant. */
export function periodOf({ from, to }: Period): { readonly from: number; readonly to: number } {
  const what = 'from and to must be instants';
  return {
    from: from === undefined ? 0 : instantOf(from, what),
    to: to === undefined ? endOfTime : instantOf(to, what),
  };
}

export const dayMs = 86_400_000;
const daysMax = 366;
const day = { type: 'string', pattern: '^\\d{4}-\\d{2}-\\d{2}$' };

export const dayParameters = {
  from: { ...day, description: 'first day, UTC' },
  to: { ...day, description: `last day; default \`from\`; up to ${daysMax} days` },
};

export interface Days {
  readonly from: string;
  readonly to?: string;
}

/** First and last day, counted from 1970. Throws a `Problem` for what are no days, or too many. */
export function daysOf({ from, to = from }: Days): { readonly first: number; readonly last: number } {
  const [first, last] = [dayOf(from), dayOf(to)];
  if (last < first) throw new Problem(400, 'query_invalid', 'to is before from');
  if (last - first >= daysMax) throw new Problem(422, 'range_too_long', `up to ${daysMax} days`);
  return { first, last };
}

function dayOf(text: string): number {
  const ms = Date.parse(`${text}T00:00:00Z`);
  if (Number.isNaN(ms)) throw new Problem(400, 'query_invalid', 'there is no such day');
  return ms / dayMs;
}

/** The date of a day that is counted from 1970. */
export function dayText(at: number): string {
  return new Date(at * dayMs).toISOString().slice(0, 'YYYY-MM-DD'.length);
}

/** Microseconds of an instant in ISO 8601. Throws a `Problem` that begins with `what` for anything else. */
export function instantOf(text: string, what: string): number {
  const micros = microsFrom(text);
  if (micros !== undefined && micros >= 0) return micros;
  throw new Problem(400, 'query_invalid', `${what} such as 2026-01-31T12:00:00Z`);
}
