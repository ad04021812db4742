/** How the systems are that customers come from, and what that means for answers. */
import type { FastifyReply } from 'fastify';
import type { BackfillProgress, SourceHealth } from '../../index.ts';
import { employeeSource } from '../../schemas/app/employees.ts';
import { renderJson } from '../render.ts';
import { Problem } from '../problem.ts';
import { sendJson, type RouteScope, type Routes } from '../routes.ts';

export interface BackfillPort {
  /** Begins anew, unless one is under way; `undefined` for a source that is none. */
  request(source: string): Promise<BackfillProgress | undefined>;
  /** The last one of each source. */
  all(): readonly BackfillProgress[];
}

export interface SourceWatch {
  /** Absent: there are no sources here. */
  readonly backfills?: BackfillPort;
  /** Of the systems that are polled, in order of names. */
  health(): readonly SourceHealth[];
  /** Told of every answer that may lack what a system has told nobody yet. */
  noteDegraded(): void;
}

/** Says on the answer which systems it may be behind: `X-Degraded: system-b;down;age=720`, the age in seconds. */
export function markDegraded(reply: FastifyReply, watch: SourceWatch | undefined): void {
  const ofCustomers = watch?.health().filter(({ source }) => source !== employeeSource) ?? [];
  const degraded = ofCustomers.filter(({ isUp, isStale }) => !isUp || isStale);
  if (degraded.length === 0) return;
  watch?.noteDegraded();
  const parts = degraded.map(({ source, isUp, ageMs }) => {
    const age = ageMs === undefined ? '' : `;age=${Math.floor(ageMs / 1_000)}`;
    return `${source};${isUp ? 'stale' : 'down'}${age}`;
  });
  void reply.header('x-degraded', parts.join(', '));
}

/** `GET /sources`, `GET` and `POST /admin/backfill`. */
export function sourceRoutes(watch: SourceWatch): Routes {
  return (scope) => {
    sourcesRoute(scope, watch);
    backfillRoutes(scope, watch);
  };
}

function sourcesRoute({ app }: RouteScope, watch: SourceWatch): void {
  const description = { summary: 'The systems that are polled, and how they are', success: 'the systems' };
  app.get('/sources', { config: { description } }, (_request, reply) => {
    const items = watch.health().map(({ source, isUp, isStale, ageMs, polledAtMs, intervalMs, code }) => ({
      source,
      state: isUp ? (isStale ? 'stale' : 'up') : 'down',
      ...(code === undefined ? {} : { code }),
      polledAt: polledAtMs === undefined ? null : polledAtMs * 1_000,
      ageSeconds: ageMs === undefined ? null : Math.floor(ageMs / 1_000),
      intervalSeconds: intervalMs / 1_000,
    }));
    return sendJson(reply, renderJson({ items }));
  });
}

function backfillRoutes({ app }: RouteScope, { backfills }: SourceWatch): void {
  app.get(
    '/admin/backfill',
    { config: { access: 'admin', description: { summary: 'The last backfill of each system', success: 'backfills' } } },
    (_request, reply) => sendJson(reply, renderJson({ items: backfills?.all().map(rendered) ?? [] })),
  );

  app.post<{ Body: { readonly source: string } }>(
    '/admin/backfill',
    {
      config: {
        access: 'admin',
        description: {
          summary: 'Reads everything that a system has once more, unless that is under way',
          success: 'the backfill',
          problems: {
            400: ['request_invalid', 'body_invalid'],
            404: ['source_unknown'],
            413: ['body_too_large'],
            415: ['media_type_unsupported'],
            503: ['log_unavailable'],
          },
        },
      },
      schema: {
        body: {
          type: 'object',
          additionalProperties: false,
          required: ['source'],
          properties: { source: { type: 'string', maxLength: 100 } },
        },
      },
    },
    async (request, reply) => {
      const begun = await backfills?.request(request.body.source);
      if (begun === undefined) throw new Problem(404, 'source_unknown', 'no such source is read by this application');
      return await sendJson(reply.code(202), renderJson(rendered(begun)));
    },
  );
}

function rendered({
  source,
  id,
  state,
  askedAtMs,
  endedAtMs,
  total,
  merged,
  failed,
  failures,
}: BackfillProgress): object {
  const ended = endedAtMs === undefined ? null : endedAtMs * 1_000;
  return { source, id, state, askedAt: askedAtMs * 1_000, endedAt: ended, total, merged, failed, failures };
}
