/**
 * Requests at fixed rates from a thread of their own. Each is measured from when it was due, not from when it was sent: whoever waits because those before
 * it are slow is counted as slow.
 */
import { Worker } from 'node:worker_threads';
import { systemClock } from '../../clock.ts';
import { assert } from '../../errors.ts';
import { Latencies } from './figures.ts';

export interface HttpRequest {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: string;
}

export interface OpenLoopLane {
  readonly perSecond: number;
  readonly count: number;
  /** Sent in turns. */
  readonly requests: readonly HttpRequest[];
}

export interface OpenLoopWork {
  readonly urls: readonly string[];
  /** Lines of the head that every request has. */
  readonly headers: string;
  readonly lanes: readonly OpenLoopLane[];
  /** When the first request of each lane is due, epoch ms. */
  readonly startMs: number;
}

/** Of each request, in order. */
export interface LaneFigures {
  /** From when it was due until its answer was there. */
  readonly ms: readonly number[];
  /** From when it was due until it was sent. */
  readonly lateMs: readonly number[];
  /** 0: no answer. */
  readonly statuses: readonly number[];
}

export interface OpenLoop {
  /** Resolves once all were answered. */
  readonly figures: Promise<readonly LaneFigures[]>;
  /** Nothing more is sent. */
  stop(): void;
}

/** For the thread to be there before the first request is due. */
const headStartMs = 500;

export function openLoop(
  urls: readonly string[],
  token: string | undefined,
  lanes: readonly OpenLoopLane[],
): OpenLoop & Pick<OpenLoopWork, 'startMs'> {
  const startMs = systemClock.nowMs() + headStartMs;
  const headers = token === undefined ? '' : `authorization: Bearer ${token}\r\n`;
  const work: OpenLoopWork = { urls, headers, lanes, startMs };
  const thread = new Worker(new URL('./open-loop-thread.ts', import.meta.url), { workerData: work });
  const figures = new Promise<readonly LaneFigures[]>((resolve, reject) => {
    thread.once('message', resolve);
    thread.once('error', reject);
  });
  return { startMs, figures, stop: () => thread.postMessage('stop') };
}

/** Those of a status alone. */
export function latenciesOf({ ms, statuses }: LaneFigures, status: number): Latencies {
  const latencies = new Latencies();
  for (const [index, found] of statuses.entries()) if (found === status) latencies.add(ms[index] ?? NaN);
  return latencies;
}

/** How often each other status came, as text; empty if none did. */
export function othersOf({ statuses }: LaneFigures, expected: number): string {
  const counts = new Map<number, number>();
  for (const status of statuses) if (status !== expected) counts.set(status, (counts.get(status) ?? 0) + 1);
  assert(!counts.has(expected), 'the expected status is none of the others');
  return [...counts]
    .map(([status, count]) => `${String(count)} times ${status === 0 ? 'no answer' : String(status)}`)
    .join(', ');
}
