/** For those who look after projections: make one anew, see how far that is, and compare it with the events. */
import type { FastifyRequest } from 'fastify';
import type { InstanceView, Log } from '../../index.ts';
import { Problem, unavailable } from '../problem.ts';
import { queryString, sendJson, type Routes, type RouteScope } from '../routes.ts';
import type { Projection, Rebuilding } from './projection.ts';

/** A projection, and what makes its application anew; absent where that is not run. */
export interface RebuiltProjection extends Projection {
  readonly rebuilding: Rebuilding | undefined;
}

export interface RebuildPorts {
  readonly projections: readonly RebuiltProjection[];
  /** For tools that read topics from the start. */
  readonly log: Log | undefined;
  /** The instances of this process. */
  readonly instances: readonly InstanceView[];
}

type VerifyRequest = FastifyRequest<{
  Params: { readonly name: string };
  Querystring: { readonly partition: string };
}>;
type NamedRequest = FastifyRequest<{ Params: { readonly name: string } }>;

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
  readonly projection: Projection;
  readonly rebuilding: Rebuilding;
  readonly log: Log;
}

function known(name: string, { projections, log }: RebuildPorts): Known {
  const projection = projections.find((one) => one.name === name);
  if (projection === undefined) throw new Problem(404, 'projection_unknown', 'there is no projection of this name');
  const { rebuilding } = projection;
  if (rebuilding === undefined || log === undefined)
    throw unavailable('store_not_ready', 'projections are not run by this process');
  return { projection, rebuilding, log };
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
      const { projection, rebuilding } = known(request.params.name, ports);
      const progress = await rebuilding.progress();
      const owners = servingView(projection, ports)
        .locateAll(projection.storeName)
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
      const { projection, log } = known(request.params.name, ports);
      const partition = Number(request.query.partition);
      const verification = await projection.verify({ view: servingView(projection, ports), log, partition });
      return sendJson(reply, JSON.stringify(verification));
    },
  });
}

function servingView({ storeName }: Projection, { instances }: RebuildPorts): InstanceView {
  const view = instances.find((instance) => instance.storeNames().includes(storeName));
  if (view === undefined) throw unavailable('store_not_ready', 'this process is starting');
  return view;
}
