/** How the process is: health, tasks, topology, metrics. */
import type { FastifyRequest } from 'fastify';
import { describe, describeJson, describeMermaid } from '../topology/describe.ts';
import type { Topology } from '../topology/graph.ts';
import type { Plan } from '../topology/plan.ts';
import type { InstanceView } from '../topology/runtime/view.ts';
import type { ApiMetrics } from './metrics.ts';
import { unavailable } from './problem.ts';
import { renderJson } from './render.ts';
import { queryString, sendJson, type RouteScope } from './routes.ts';

export const topologyFormats = ['text', 'json', 'mermaid'] as const;
export type TopologyFormat = (typeof topologyFormats)[number];

type TopologyRequest = FastifyRequest<{ Querystring: { readonly format?: TopologyFormat } }>;

export function healthRoutes(
  { app }: RouteScope,
  instances: readonly InstanceView[],
  waitsFor: () => readonly string[] = () => (instances.length === 0 ? ['instances'] : []),
): void {
  app.get(
    '/health/live',
    { config: { access: 'open', description: { summary: 'The process answers', success: 'always' } } },
    () => ({ status: 'live' }),
  );

  app.get(
    '/health/ready',
    {
      config: {
        description: {
          summary: 'All tasks of this process run, and what it needs beside them is there: it may get traffic',
          success: 'ready',
          problems: { 503: ['not_ready'] },
        },
      },
    },
    () => {
      const waiting = instances.flatMap(({ isReady, applicationId, state }) =>
        isReady ? [] : `${applicationId} (${state})`,
      );
      const all = [...waiting, ...waitsFor()];
      if (all.length === 0) return { status: 'ready' };
      throw unavailable('not_ready', `waiting for ${all.join(', ')}`);
    },
  );
}

export interface AdminRouteOptions {
  readonly instances: readonly InstanceView[];
  readonly metrics: ApiMetrics;
}

export function adminRoutes({ app }: RouteScope, { instances, metrics }: AdminRouteOptions): void {
  app.get(
    '/admin/tasks',
    {
      config: {
        access: 'admin',
        description: { summary: 'Instances of this process with their tasks and peers', success: 'instances' },
      },
    },
    (_request, reply) => sendJson(reply, renderJson({ instances: instances.map(describeInstance) })),
  );

  app.get('/admin/topology', {
    schema: { querystring: queryString({ format: { type: 'string', enum: topologyFormats } }) },
    config: {
      access: 'admin',
      description: {
        summary: 'The topologies: sub-topologies, steps, stores and topics',
        success: "text in the layout of Kafka Streams' description, JSON, or Mermaid",
        produces: ['text/plain', 'application/json'],
        problems: { 503: ['plan_not_known'] },
      },
    },
    handler: (request: TopologyRequest, reply) => {
      const format = request.query.format ?? 'text';
      const texts = plansOf(instances).map((plan) => printers[format](plan));
      if (texts.length === 0) throw unavailable('plan_not_known', 'no topology is planned yet');
      if (format === 'json') return sendJson(reply, `[${texts.join(',')}]`);
      return reply.type('text/plain; charset=utf-8').send(texts.join('\n'));
    },
  });

  app.get(
    '/metrics',
    {
      config: {
        access: 'admin',
        description: { summary: 'Measurements for Prometheus', success: 'exposition format', produces: ['text/plain'] },
      },
    },
    async (_request, reply) => reply.type(metrics.contentType).send(await metrics.render()),
  );
}

const titled =
  (print: (topology: Topology) => string, comment: string) =>
  (plan: Plan): string =>
    `${comment} ${plan.applicationId}\n${print(plan.topology)}`;

const printers: Readonly<Record<TopologyFormat, (plan: Plan) => string>> = {
  text: titled(describe, '#'),
  mermaid: titled(describeMermaid, '%%'),
  json: (plan) =>
    renderJson({ application: plan.applicationId, ...describeJson(plan.topology), ...describeTopics(plan) }),
};

function describeTopics({ internalTopics, partitions }: Plan): object {
  return { internalTopics, partitions: Object.fromEntries(partitions) };
}

/** One per application. */
function plansOf(instances: readonly InstanceView[]): readonly Plan[] {
  const plans = new Map<string, Plan>();
  for (const { plan } of instances) if (plan !== undefined) plans.set(plan.applicationId, plan);
  return [...plans.values()];
}

function describeInstance(view: InstanceView): object {
  const { failure } = view;
  return {
    application: view.applicationId,
    instance: view.instanceId,
    state: view.state,
    ready: view.isReady,
    paused: view.isPaused,
    failure: failure === undefined ? null : { code: failure.code, message: failure.message },
    tasks: view.tasks(),
    peers: view.peers().map((peer) => ({ ...peer, url: peer.url ?? null })),
  };
}
