import type { ResolvedOptions } from './options.ts';

/** This many fences within the time mean that two processes use one instance id. */
const storm = { count: 3, withinMs: 60_000, pauseMs: 5_000 } as const;

/** Slows down two processes that fence each other for ever. */
export class FenceStorm {
  #atMs: readonly number[] = [];

  /** Call at each fence; pauses when there were too many of late. */
  async pause({ host, instanceId }: ResolvedOptions): Promise<void> {
    const { clock, logger } = host;
    const nowMs = clock.monotonicMs();
    const recent = this.#atMs.filter((atMs) => nowMs - atMs < storm.withinMs);
    this.#atMs = [...recent, nowMs].slice(-storm.count - 1);
    if (this.#atMs.length <= storm.count) return;
    logger.error('fenced again and again: another process uses this application and instance id', { instanceId });
    await clock.sleep(storm.pauseMs);
  }
}
