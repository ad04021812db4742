/** A token bucket per client, for a bounded number of clients. */
import type { Clock } from '../clock.ts';

export interface RateLimiter {
  /** Takes one token. Returns 0, or the seconds after which there is one again. */
  take(client: string): number;
}

interface Bucket {
  tokens: number;
  atMs: number;
}

/** `perSecond` 0 switches it off. A burst may be twice the rate. The client unused for longest is forgotten first. */
export function createRateLimiter(options: {
  readonly perSecond: number;
  readonly clientsMax: number;
  readonly clock: Clock;
}): RateLimiter {
  const { perSecond, clientsMax, clock } = options;
  const burst = perSecond * 2;
  // In order of use: a Map keeps the order of insertion.
  const buckets = new Map<string, Bucket>();
  return {
    take: (client) => {
      if (perSecond === 0) return 0;
      const nowMs = clock.monotonicMs();
      const bucket = buckets.get(client) ?? { tokens: burst, atMs: nowMs };
      bucket.tokens = Math.min(burst, bucket.tokens + ((nowMs - bucket.atMs) / 1_000) * perSecond);
      bucket.atMs = nowMs;
      buckets.delete(client);
      buckets.set(client, bucket);
      const [oldest] = buckets.size > clientsMax ? buckets.keys() : [];
      if (oldest !== undefined) buckets.delete(oldest);
      if (bucket.tokens < 1) return Math.max(1, Math.ceil((1 - bucket.tokens) / perSecond));
      bucket.tokens -= 1;
      return 0;
    },
  };
}
