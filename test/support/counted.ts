/** What the counting topology has counted, judged from its output topic. */
import { expect } from '@jest/globals';
import { systemClock } from '../../clock.ts';
import type { Log } from '../../connectors/log.ts';
import { hasCode } from '../../errors.ts';
import type { Topic } from '../../schemas/topic.ts';
import { latest, readAll } from './cluster.ts';

/** Attempts at a log whose brokers change; each takes seconds itself before it gives up. */
const attemptsMax = 100;

/** How many records were counted over all keys. Waits while the log is away. */
export async function sumOf(log: Log, counts: Topic<string, number>): Promise<number> {
  for (let attempt = 1; ; attempt += 1)
    try {
      let sum = 0;
      for (const value of latest(await readAll(log, counts)).values()) sum += value ?? 0;
      return sum;
    } catch (error) {
      if (attempt === attemptsMax || !hasCode(error, 'LOG_UNAVAILABLE')) throw error;
      await systemClock.sleep(100);
    }
}

/** Each count of each key appears once, in order: no effect twice, none undone. */
export async function expectEachCountOnce(log: Log, counts: Topic<string, number>): Promise<void> {
  const history = new Map<string, number>();
  for (const { key, value } of await readAll(log, counts)) {
    expect(value).toBeGreaterThan(history.get(key ?? '') ?? 0);
    history.set(key ?? '', value ?? 0);
  }
}
