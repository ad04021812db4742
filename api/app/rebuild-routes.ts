/** For those who look after projections: make one anew, see how far that is, and compare it with the events. */
import type { FastifyRequest } from 'fastify';
import type { InstanceView, Log, Topic } from '../../index.ts';
import { accountBalances } from '../../processors/app/billing/projections.ts';
import type { AccountEvent } from '../../schemas/app/billing/account-event.ts';
import { Problem, unavailable } from '../problem.ts';
import { queryString, sendJson, type Routes, type RouteScope } from '../routes.ts';
import type { Rebuilding, RoutePorts } from './application.ts';
import { verifyBalances } from './balance-verification.ts';

export interface RebuildPorts extends Pick<RoutePorts, 'rebuilding' | 'log' | 'instances'> {
  readonly accountEvents: Topic<string, AccountEvent>;
}

type VerifyRequest = FastifyRequest<{
  Params: { readonly name: string };
  Querystring: { readonly partition: string };
}>;
type NamedRequest = FastifyRequest<{ Params: { readonly name: string } }>;

const projectionName = 'balance';
const params = {
  type: 'object',
  required: ['name'],
  properties: { name: { type: 'string', maxLength: 64 } },
};
const problems = { 404: ['projection_unknown'], 503: ['store_not_ready', 'log_unavailable'] };

export function rebuildRoutes(ports: RebuildPorts): Routes {
  return (scope) => {
    progressRoute(scope, ports);
    rebuildRoute(scope, ports);
    verifyRoute(scope, ports);
  };
}

interface Known {
  readonly rebuilding: Rebuilding;
  readonly log: Log;
}

function known(name: string, { rebuilding, log }: RebuildPorts): Known {
  if (name !== projectionName) throw new Problem(404, 'projection_unknown', 'there is no projection of this name');
  if (rebuilding === undefined || log === undefined)
    throw unavailable('store_not_ready', 'projections are not run by this process');
  return { rebuilding, log };
}

function progressRoute({ app }: RouteScope, ports: RebuildPorts): void {
  app.get('/admin/projections/:name', {
    schema: { params },
    config: {
      access: 'admin',
      description: {
        summary: 'Which generation of a projection answers, and how far the next one is',
        success: 'generations, and where the partitions of the one that answers are',
        problems,
      },
    },
    handler: async (request: NamedRequest, reply) => {
      const progress = await known(request.params.name, ports).rebuilding.progress();
      const owners = servingView(ports)
        .locateAll(accountBalances.name)
        .map(({ partition, owner }) => ({ partition, url: owner?.url ?? null, isHere: owner?.isSelf === true }));
      return sendJson(reply, JSON.stringify({ ...progress, owners }));
    },
  });
}

function rebuildRoute({ app }: RouteScope, ports: RebuildPorts): void {
  app.post('/admin/projections/:name/rebuild', {
    schema: { params },
    config: {
      access: 'admin',
      description: {
        summary: 'Makes a projection anew from its events, beside the one that answers until it is complete',
        success: 'it is being built',
        problems,
      },
    },
    handler: async (request: NamedRequest, reply) =>
      sendJson(reply.code(202), JSON.stringify(await known(request.params.name, ports).rebuilding.rebuild())),
  });
}

const partitionParameter = { type: 'string', pattern: '^\\d{1,6}$', description: 'one that is owned here' };

function verifyRoute({ app }: RouteScope, ports: RebuildPorts): void {
  const { accountEvents } = ports;
  app.post('/admin/projections/:name/verify', {
    schema: { params, querystring: { ...queryString({ partition: partitionParameter }), required: ['partition'] } },
    config: {
      access: 'admin',
      description: {
        summary: 'Compares what this process has of a projection with its events, folded once more by other means',
        success: 'what was compared, and every difference',
        problems,
      },
    },
    handler: async (request: VerifyRequest, reply) => {
      const { log } = known(request.params.name, ports);
      const compared = { view: servingView(ports), log, accountEvents };
      return sendJson(reply, JSON.stringify(await verifyBalances(compared, Number(request.query.partition))));
    },
  });
}

function servingView({ instances = [] }: RebuildPorts): InstanceView {
  const view = instances.find((instance) => instance.storeNames().includes(accountBalances.name));
  if (view === undefined) throw unavailable('store_not_ready', 'this process is starting');
  return view;
}
