/** How pairs of rows are that are kept in sync, and which ones wait. */
import type { FastifyRequest } from 'fastify';
import { pendingPairs, syncPairs } from '../../processors/app/sync/processors.ts';
import { isoFromMicros } from '../../schemas/app/customer/instant.ts';
import { compact } from '../../schemas/app/reader.ts';
import { sides } from '../../schemas/app/sync/entities.ts';
import type { Pair, PairSide } from '../../schemas/app/sync/pair.ts';
import { Problem } from '../problem.ts';
import { contextOf, queryString, sendJson, waitParameter, writeProvenance, type RouteScope } from '../routes.ts';
import { pagingParameters, queryProblems, rowsWanted, type Paging } from './billing-queries.ts';

type PendingRequest = FastifyRequest<{ Querystring: Paging }>;
type PairRequest = FastifyRequest<{ Params: { readonly pair: string }; Querystring: { readonly wait?: string } }>;

const paging = pagingParameters('pairs');

export function syncRoutes(scope: RouteScope): void {
  pendingRoute(scope);
  pairRoute(scope);
}

function pendingRoute({ app, queries }: RouteScope): void {
  app.get('/sync/status', {
    schema: { querystring: queryString(paging) },
    config: {
      description: {
        summary: 'Pairs of rows that wait for something outside, and for what',
        success: 'pairs by when they are looked at again, and the cursor of the next page',
        problems: queryProblems,
        isQuery: true,
      },
    },
    handler: async (request: PendingRequest, reply) => {
      const { limit, cursor } = request.query;
      const page = await queries.page(pendingPairs, { limit: rowsWanted(limit), cursor }, contextOf(request));
      writeProvenance(reply, page);
      const items = page.rows.map(({ key, value: { side, reason, sinceMs, dueMs } }) => ({
        pair: key.slice(key.indexOf('|') + 1),
        side,
        waitsFor: reason === 'reference' ? 'the counterpart of a row it refers to' : 'what the database refuses',
        since: isoFromMicros(sinceMs * 1_000),
        triedAgainAt: isoFromMicros(dueMs * 1_000),
      }));
      return sendJson(reply, JSON.stringify({ waiting: items, next: page.cursor ?? null }));
    },
  });
}

function pairRoute({ app, queries }: RouteScope): void {
  app.get('/sync/pairs/:pair', {
    schema: {
      params: { type: 'object', required: ['pair'], properties: { pair: { type: 'string', maxLength: 200 } } },
      querystring: queryString(waitParameter),
    },
    config: {
      description: {
        summary: 'Two rows that belong together, named after the one that was first: `user:legacy:17`',
        success: 'the pair: what is wanted of it, and what each side shows',
        problems: { ...queryProblems, 404: ['pair_not_found'] },
        isQuery: true,
      },
    },
    handler: async (request: PairRequest, reply) => {
      const answer = await queries.get(syncPairs, request.params.pair, contextOf(request));
      writeProvenance(reply, answer);
      if (answer.value === undefined) throw new Problem(404, 'pair_not_found', 'no row is known by this name');
      return sendJson(reply, JSON.stringify(shownPair(answer.value)));
    },
  });
}

function shownPair(pair: Pair): object {
  const { mapId, entity, wanted, deleted } = pair;
  return {
    pair: mapId,
    entity,
    isDeleted: deleted !== undefined,
    wanted,
    ...Object.fromEntries(sides.map((side) => [side, shownSide(pair[side])])),
  };
}

function shownSide({ id, seen, version, writing, refused }: PairSide): object {
  return compact({ id, row: seen ?? null, version, writing: writing?.operation, refusedWith: refused });
}
