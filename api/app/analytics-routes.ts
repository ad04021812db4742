/** What was moved on days, and how that develops. */
import type { FastifyRequest } from 'fastify';
import { formatAmount } from '../../schemas/app/billing/money.ts';
import type { DailyTotal } from '../../schemas/app/billing/projection.ts';
import { limits } from '../limits.ts';
import { Problem } from '../problem.ts';
import {
  contextOf,
  queryString,
  sendJson,
  waitParameter,
  writeProvenance,
  type Routes,
  type RouteScope,
} from '../routes.ts';
import type { Provenance, StoreQueries, TypedStore } from '../store-queries.ts';
import { dayParameters, dayText, daysOf, queryProblems, type Days } from './billing-queries.ts';

type DaysRequest = FastifyRequest<{
  Querystring: Days & {
    readonly wait?: string;
    readonly currency?: string;
    readonly type?: string;
  };
}>;

/** Of the parts that partitions add: so many pages are read for one answer. */
const pagesMax = 40;
/** Moving sums, in days. */
const [week, fourWeeks] = [7, 28];

const querystring = {
  ...queryString({
    ...waitParameter,
    ...dayParameters,
    currency: { type: 'string', maxLength: 10, description: 'only this one' },
    type: { type: 'string', maxLength: 40, description: 'only these: `TRANSFER`, …' },
  }),
  required: ['from'],
};
const problems = { ...queryProblems, 422: ['range_too_long'] };

/** `parts`: keys begin with the day; those of one day, currency and type add up to its total. */
export function analyticsRoutes(parts: TypedStore<string, DailyTotal>): Routes {
  return (scope) => {
    dailyRoute(scope, parts);
    trendsRoute(scope, parts);
  };
}

function dailyRoute({ app, queries }: RouteScope, parts: TypedStore<string, DailyTotal>): void {
  app.get('/analytics/daily', {
    schema: { querystring },
    config: {
      description: {
        summary: 'What was moved on each day, by currency and type',
        success: 'totals, the latest day first; days without any are left out',
        problems,
        isQuery: true,
      },
    },
    handler: async (request: DaysRequest, reply) => {
      const { first, last } = daysOf(request.query);
      const { totals, provenance } = await totalsOf(queries, parts, { request, first, last });
      writeProvenance(reply, provenance);
      const items = [...totals].sort(([a], [b]) => (a < b ? 1 : -1)).map(([, total]) => shownTotal(total));
      return sendJson(reply, JSON.stringify({ items }));
    },
  });
}

function trendsRoute({ app, queries }: RouteScope, parts: TypedStore<string, DailyTotal>): void {
  app.get('/analytics/trends', {
    schema: { querystring },
    config: {
      description: {
        summary:
          'How what is moved develops: for each day the sums of 7 and 28 days up to it, and the change from the day before',
        success: 'one entry for each day, currency and type of which there is any in that time, the latest day first',
        problems,
        isQuery: true,
      },
    },
    handler: async (request: DaysRequest, reply) => {
      const { first, last } = daysOf(request.query);
      const before = first - (fourWeeks - 1);
      const { totals, provenance } = await totalsOf(queries, parts, { request, first: before, last });
      writeProvenance(reply, provenance);
      const kinds = new Map(
        [...totals.values()].map(({ currency, type }) => [`${currency}|${type}`, { currency, type }]),
      );
      const items: object[] = [];
      for (let at = last; at >= first; at -= 1)
        for (const [kind, names] of kinds) {
          const sumOf = (days: number): bigint => sum(totals, kind, at - days + 1, at);
          const change = formatAmount(sumOf(1) - sum(totals, kind, at - 1, at - 1));
          const sums = { amount: sumOf(1), days7: sumOf(week), days28: sumOf(fourWeeks) };
          items.push({ day: dayText(at), ...names, ...textsOf(sums), change });
        }
      return sendJson(reply, JSON.stringify({ items }));
    },
  });
}

function sum(totals: ReadonlyMap<string, DailyTotal>, kind: string, first: number, last: number): bigint {
  let amount = 0n;
  for (let at = first; at <= last; at += 1) amount += totals.get(`${dayText(at)}|${kind}`)?.amount ?? 0n;
  return amount;
}

function textsOf(amounts: Readonly<Record<string, bigint>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(amounts).map(([name, amount]) => [name, formatAmount(amount)]));
}

interface Wanted {
  readonly request: DaysRequest;
  readonly first: number;
  readonly last: number;
}

/** By day, currency and type. */
async function totalsOf(
  queries: StoreQueries,
  parts: TypedStore<string, DailyTotal>,
  { request, first, last }: Wanted,
): Promise<{ readonly totals: ReadonlyMap<string, DailyTotal>; readonly provenance: Provenance }> {
  const { currency, type } = request.query;
  const range = { from: parts.key.serialize(dayText(first)), to: parts.key.serialize(dayText(last + 1)) };
  const totals = new Map<string, DailyTotal>();
  let cursor: string | undefined;
  for (let page = 0; page < pagesMax; page += 1) {
    const found = await queries.page(parts, { ...range, limit: limits.pageRows, cursor }, contextOf(request));
    for (const { value } of found.rows)
      if ((currency ?? value.currency) === value.currency && (type ?? value.type) === value.type) addTo(totals, value);
    cursor = found.cursor;
    if (cursor === undefined) return { totals, provenance: found };
  }
  throw new Problem(422, 'range_too_long', 'too much lies in this range: ask for fewer days');
}

function addTo(totals: Map<string, DailyTotal>, part: DailyTotal): void {
  const key = `${part.day}|${part.currency}|${part.type}`;
  const before = totals.get(key);
  const { amount, count } = before ?? { amount: 0n, count: 0 };
  totals.set(key, { ...part, amount: part.amount + amount, count: part.count + count });
}

function shownTotal(total: DailyTotal): object {
  return { ...total, amount: formatAmount(total.amount) };
}
