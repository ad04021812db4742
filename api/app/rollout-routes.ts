/** Shares of keys that go a new way, and topologies that are paused: asked for, and changed for all instances, with who and why. */
import type { FastifyRequest } from 'fastify';
import type { Clock, InstanceView } from '../../index.ts';
import { bucketOf, raiseRefusal, rolloutSteps } from '../../processors/app/rollout.ts';
import { rolloutFlags, type RolloutChange, type RolloutFlag } from '../../schemas/app/rollout.ts';
import { Problem } from '../problem.ts';
import { renderJson } from '../render.ts';
import { sendJson, type RouteDescription, type Routes, type RouteScope } from '../routes.ts';
import type { RolloutPort } from './rollout-port.ts';

export interface RolloutRouteOptions {
  readonly rollout: RolloutPort;
  readonly clock: Clock;
  /** Names of the topologies that run in this process. */
  readonly topologies: readonly string[];
  /** The instances that run a topology here. */
  readonly instancesOf: (topology: string) => readonly InstanceView[];
}

type FlagRequest = FastifyRequest<{
  Params: { readonly flag: RolloutFlag };
  Body: { readonly percent: number; readonly by: string; readonly reason: string; readonly force?: boolean };
}>;
type KeyRequest = FastifyRequest<{ Params: { readonly flag: RolloutFlag; readonly key: string } }>;
type TopologyRequest = FastifyRequest<{
  Params: { readonly topology: string };
  Body: { readonly by: string; readonly reason: string };
}>;

/** Of a history, in one answer. */
const shownMax = 100;

const said = {
  by: { type: 'string', minLength: 1, maxLength: 200 },
  reason: { type: 'string', minLength: 1, maxLength: 1_000 },
};
const flagParams = {
  type: 'object',
  required: ['flag'],
  properties: { flag: { type: 'string', enum: rolloutFlags } },
};
const keyParams = {
  type: 'object',
  required: ['flag', 'key'],
  properties: { ...flagParams.properties, key: { type: 'string', minLength: 1, maxLength: 1_000 } },
};
const topologyParams = {
  type: 'object',
  required: ['topology'],
  properties: { topology: { type: 'string', maxLength: 250 } },
};

const changing: NonNullable<RouteDescription['problems']> = {
  400: ['request_invalid', 'body_invalid'],
  413: ['body_too_large'],
  415: ['media_type_unsupported'],
  503: ['log_unavailable'],
};

const admin = (summary: string, success: string, problems: RouteDescription['problems'] = {}) =>
  ({ access: 'admin', description: { summary, success, problems } }) as const;

export function rolloutRoutes(options: RolloutRouteOptions): Routes {
  return (scope) => {
    flagRoutes(scope, options);
    changeRoute(scope, options);
    pauseRoutes(scope, options);
  };
}

function flagRoutes({ app }: RouteScope, { rollout }: RolloutRouteOptions): void {
  app.get('/admin/rollout', { config: admin('The share of keys that go each new way', 'flags') }, (_request, reply) =>
    sendJson(reply, renderJson({ items: rolloutFlags.map((flag) => shownFlag(rollout, flag)) })),
  );

  app.get('/admin/rollout/:flag', {
    schema: { params: flagParams },
    config: admin('A share with its last changes, newest first', 'the flag', { 400: ['request_invalid'] }),
    handler: ({ params: { flag } }: FlagRequest, reply) =>
      sendJson(reply, renderJson({ ...shownFlag(rollout, flag), history: shownHistory(rollout, 'flag', flag) })),
  });

  app.get('/rollout/:flag/:key', {
    schema: { params: keyParams },
    config: {
      description: {
        summary: 'Whether a key goes the new way: for whoever routes requests',
        success: 'the decision; the same wherever it is asked for, and kept while the share grows',
        problems: { 400: ['request_invalid'] },
      },
    },
    handler: ({ params: { flag, key } }: KeyRequest, reply) => {
      const decision = { bucket: bucketOf(key), percent: rollout.percentOf(flag), isOn: rollout.isOn(flag, key) };
      return sendJson(reply, renderJson({ flag, ...decision }));
    },
  });
}

function changeRoute({ app }: RouteScope, { rollout, clock }: RolloutRouteOptions): void {
  const percent = { type: 'number', minimum: 0, maximum: 100 };
  app.put('/admin/rollout/:flag', {
    schema: {
      params: flagParams,
      body: {
        type: 'object',
        additionalProperties: false,
        required: ['percent', 'by', 'reason'],
        properties: { ...said, percent, force: { type: 'boolean' } },
      },
    },
    config: admin('Changes a share, for all instances', 'it is in force here, and soon everywhere', {
      ...changing,
      409: ['step_skipped', 'hold_not_over'],
    }),
    handler: async ({ params: { flag }, body }: FlagRequest, reply) => {
      checkShare(rollout, flag, { ...body, nowMs: clock.nowMs() });
      const { by, reason, force: forced = false } = body;
      await rollout.change({
        kind: 'flag',
        name: flag,
        percent: body.percent,
        by,
        reason,
        forced,
        at: clock.nowMs() * 1_000,
      });
      return sendJson(reply, renderJson(shownFlag(rollout, flag)));
    },
  });
}

function checkShare(
  rollout: RolloutPort,
  flag: RolloutFlag,
  { percent, force, nowMs }: { readonly percent: number; readonly force?: boolean; readonly nowMs: number },
): void {
  if (Math.abs(percent * 100 - Math.round(percent * 100)) > 1e-6)
    throw new Problem(400, 'request_invalid', 'a share has up to two decimals');
  if (force === true) return;
  const current = { percent: rollout.percentOf(flag), changedAt: rollout.history('flag', flag).at(-1)?.at };
  const refusal = raiseRefusal({ ...current, holdMs: rollout.holdMs }, percent, nowMs);
  if (refusal === 'step_skipped')
    throw new Problem(409, 'step_skipped', `a share grows by the steps ${rolloutSteps.join(', ')}; force skips them`);
  if (refusal === 'hold_not_over')
    throw new Problem(
      409,
      'hold_not_over',
      'the share has not been held long enough to grow; force grows it all the same',
    );
}

function pauseRoutes({ app }: RouteScope, { rollout, clock, topologies, instancesOf }: RolloutRouteOptions): void {
  const shown = (name: string): object => ({
    topology: name,
    paused: rollout.isPaused(name),
    instances: instancesOf(name).map(({ applicationId, instanceId, state, isPaused }) => {
      return { application: applicationId, instance: instanceId, state, paused: isPaused };
    }),
  });
  app.get(
    '/admin/topologies',
    { config: admin('Topologies of this process, and which of them are paused', 'topologies') },
    (_request, reply) => sendJson(reply, renderJson({ items: topologies.map(shown) })),
  );

  const route = (action: 'pause' | 'resume', summary: string): void => {
    app.post(`/admin/topologies/:topology/${action}`, {
      schema: {
        params: topologyParams,
        body: { type: 'object', additionalProperties: false, required: ['by', 'reason'], properties: said },
      },
      config: admin(summary, 'it is in force here, and soon everywhere', { ...changing, 404: ['topology_unknown'] }),
      handler: async ({ params: { topology }, body: { by, reason } }: TopologyRequest, reply) => {
        if (!topologies.includes(topology))
          throw new Problem(404, 'topology_unknown', 'no topology of this name runs in this process');
        const at = clock.nowMs() * 1_000;
        await rollout.change({ kind: 'topology', name: topology, paused: action === 'pause', by, reason, at });
        return sendJson(
          reply,
          renderJson({ ...shown(topology), history: shownHistory(rollout, 'topology', topology) }),
        );
      },
    });
  };
  route('pause', 'All instances process no more records of a topology; they go on answering');
  route('resume', 'All instances go on processing, where they were');
}

function shownFlag(rollout: RolloutPort, flag: RolloutFlag): object {
  const last = rollout.history('flag', flag).at(-1);
  const { by, reason, at } = last ?? { by: null, reason: null, at: null };
  return { flag, percent: rollout.percentOf(flag), by, reason, at };
}

/** Newest first, each with what was before it; `null` before the first change. */
function shownHistory(rollout: RolloutPort, kind: RolloutChange['kind'], name: string): readonly object[] {
  const changes = rollout.history(kind, name);
  const valueOf = (change: RolloutChange | undefined): number | boolean | null =>
    change === undefined ? null : change.kind === 'flag' ? change.percent : change.paused;
  return changes
    .map((change, index) => {
      const forced = change.kind === 'flag' && change.forced ? { forced: true } : {};
      const { by, reason, at } = change;
      return { before: valueOf(changes[index - 1]), after: valueOf(change), by, reason, at, ...forced };
    })
    .toReversed()
    .slice(0, shownMax);
}
