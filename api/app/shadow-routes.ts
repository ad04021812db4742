/** What the old system has to say of its transactions, and whether what was compared allows to go on. */
import type { FastifyRequest } from 'fastify';
import { noHeaders, stringSerde, type Clock, type Log } from '../../index.ts';
import {
  firstDay,
  gateChecks,
  pairTallies,
  shadowTallies,
  type GateLimits,
} from '../../processors/app/shadow/tallies.ts';
import { shadowFacts, type ShadowFacts, type ShadowResult, type ShadowTopics } from '../../schemas/app/shadow.ts';
import type { QueryContext } from '../placement.ts';
import { renderJson } from '../render.ts';
import { boundedInteger, contextOf, queryString, sendJson, type Routes, type RouteScope } from '../routes.ts';
import type { StoreQueries } from '../store-queries.ts';
import type { RoutePorts } from './application.ts';

export interface ShadowRouteOptions {
  readonly topics: ShadowTopics;
  readonly write: RoutePorts['write'];
  readonly clock: Clock;
  readonly log: Pick<Log, 'admin'> | undefined;
  /** What must be empty, as far as they are there. */
  readonly deadLetterTopics: readonly string[];
}

type ResultRequest = FastifyRequest<{
  Body: ShadowFacts & { readonly correlationId: string; readonly outcome: ShadowResult['outcome'] };
}>;
type ReportRequest = FastifyRequest<{
  Querystring: { readonly days?: string; readonly comparisonsMin?: string };
}>;

const matchShareMin = 0.999;
const delayMsMax = 5_000;
const days = { min: 0, max: 365, initial: 7 };
const comparisonsMin = { min: 1, max: 100_000_000, initial: 1_000 };
const pageRows = 1_000;

const digits = { type: 'string', pattern: '^\\d{1,9}$' };
const decimal = { type: 'string', pattern: '^-?\\d{1,30}(\\.\\d{1,20})?$' };
const resultBody = {
  type: 'object',
  additionalProperties: false,
  required: ['correlationId', 'outcome'],
  properties: {
    correlationId: { type: 'string', minLength: 1, maxLength: 200 },
    outcome: { type: 'string', enum: ['completed', 'failed'] },
    ...Object.fromEntries(shadowFacts.map((fact) => [fact, decimal])),
    currency: { type: 'string', minLength: 3, maxLength: 10 },
  },
};

export function shadowRoutes(options: ShadowRouteOptions): Routes {
  return (scope) => {
    resultRoute(scope, options);
    reportRoute(scope, options);
  };
}

function resultRoute({ app }: RouteScope, { topics: { results }, write, clock }: ShadowRouteOptions): void {
  app.post('/shadow/results', {
    schema: { body: resultBody },
    config: {
      description: {
        summary: 'How a transaction ended in the old system, to be compared',
        success: 'it is written down',
        problems: {
          400: ['request_invalid', 'body_invalid'],
          413: ['body_too_large'],
          415: ['media_type_unsupported'],
          503: ['log_unavailable'],
        },
      },
    },
    handler: async ({ body }: ResultRequest, reply) => {
      const timestampMs = clock.nowMs();
      const result: ShadowResult = { ...body, side: 'old', at: timestampMs * 1_000 };
      const key = results.key.serialize(body.correlationId);
      await write({
        topic: results.name,
        key,
        value: results.value.serialize(result),
        headers: noHeaders,
        timestampMs,
      });
      return sendJson(reply.code(202), renderJson({ correlationId: body.correlationId }));
    },
  });
}

function reportRoute({ app, queries }: RouteScope, options: ShadowRouteOptions): void {
  app.get('/admin/rollout-report', {
    schema: { querystring: queryString({ days: digits, comparisonsMin: digits }) },
    config: {
      access: 'admin',
      description: {
        summary: 'Whether to go on: what was compared, against what it must come to',
        success: 'the report; `go` says whether every check is passed',
        problems: {
          400: ['request_invalid', 'query_invalid'],
          421: ['misdirected'],
          503: ['store_not_ready', 'peer_unavailable', 'too_many_scans', 'log_unavailable'],
        },
      },
    },
    handler: async (request: ReportRequest, reply) => {
      const { query } = request;
      const limits = {
        matchShareMin,
        delayMsMax,
        comparisonsMin: boundedInteger('comparisonsMin', query.comparisonsMin, comparisonsMin),
      };
      const back = boundedInteger('days', query.days, days);
      const context = contextOf(request as FastifyRequest<{ Querystring: Record<string, never> }>);
      return sendJson(reply, renderJson(await reportOf(queries, options, { back, limits, context })));
    },
  });
}

async function reportOf(
  queries: StoreQueries,
  { clock, log, deadLetterTopics }: ShadowRouteOptions,
  asked: { readonly back: number; readonly limits: GateLimits; readonly context: QueryContext },
): Promise<object> {
  const since = firstDay(clock.nowMs(), asked.back);
  const pairs = pairTallies(await talliesSince(queries, since, asked.context));
  const deadLetters = log === undefined ? 0 : await lettersSince(log, deadLetterTopics, Date.parse(since));
  const checks = gateChecks({ pairs, deadLetters }, asked.limits);
  return { since, go: checks.every(({ isPassed }) => isPassed), checks, pairs };
}

async function talliesSince(
  queries: StoreQueries,
  since: string,
  context: QueryContext,
): Promise<readonly (readonly [string, number])[]> {
  const found: (readonly [string, number])[] = [];
  let cursor: string | undefined;
  do {
    const range = { from: stringSerde.serialize(since), limit: pageRows, cursor };
    const page = await queries.page(shadowTallies, range, context);
    for (const { key, value } of page.rows) found.push([key, value]);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return found;
}

/** Records put aside since then, in the topics that are there. */
async function lettersSince(
  { admin }: Pick<Log, 'admin'>,
  topics: readonly string[],
  sinceMs: number,
): Promise<number> {
  const described = await admin.describeTopics(topics);
  const partitions = [...described].flatMap(([topic, found]) =>
    Array.from({ length: found?.partitions ?? 0 }, (_, partition) => ({ topic, partition })),
  );
  const [ends, starts] = await Promise.all([admin.offsets(partitions), admin.offsetsAt(partitions, sinceMs)]);
  return ends.reduce((sum, { stable }, index) => sum + Math.max(0, stable - (starts[index] ?? stable)), 0);
}
