/** How the systems are that customers come from, and what that means for answers. */
import type { FastifyReply } from 'fastify';
import type { SourceHealth } from '../../index.ts';
import { renderJson } from '../render.ts';
import { sendJson, type Routes } from '../routes.ts';

export interface SourceWatch {
  /** Of the systems that are polled, in order of names. */
  health(): readonly SourceHealth[];
  /** Told of every answer that may lack what a system has told nobody yet. */
  noteDegraded(): void;
}

/** Says on the answer which systems it may be behind: `X-Degraded: system-b;down;age=720`, the age in seconds. */
export function markDegraded(reply: FastifyReply, watch: SourceWatch | undefined): void {
  const degraded = watch?.health().filter(({ isUp, isStale }) => !isUp || isStale) ?? [];
  if (degraded.length === 0) return;
  watch?.noteDegraded();
  const parts = degraded.map(({ source, isUp, ageMs }) => {
    const age = ageMs === undefined ? '' : `;age=${Math.floor(ageMs / 1_000)}`;
    return `${source};${isUp ? 'stale' : 'down'}${age}`;
  });
  void reply.header('x-degraded', parts.join(', '));
}

/** `GET /sources`. */
export function sourceRoutes(watch: SourceWatch): Routes {
  return ({ app }) => {
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
  };
}
