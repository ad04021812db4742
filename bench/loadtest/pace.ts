/** Hands commands in at a rate, or as fast as they are settled. */
import { systemClock } from '../../clock.ts';
import type { Intake } from './intake.ts';
import type { Settlements } from './settlements.ts';
import type { Command } from './transfers.ts';

/** Handed in and not yet settled: enough for everything to be busy, and few enough for what waits to be soon settled. */
const underWayMax = 4_000;
const turnMs = 2;

export interface Pace {
  readonly settlements: Settlements;
  /** Per second; `max`: as many as are settled. */
  readonly rate: number | 'max';
  /** Whichever ends first. */
  readonly ms: number;
  readonly count: number;
}

/** Resolves with how many were accepted, and how long it took, once the last one was. Rejects with the first refusal. */
export async function handIn(
  commands: Iterator<Command, unknown>,
  intake: Intake,
  { settlements, rate, ms, count }: Pace,
): Promise<{ readonly accepted: number; readonly ms: number }> {
  const startMs = systemClock.monotonicMs();
  const sending = new Set<Promise<void>>();
  let failure: unknown;
  let given = 0;
  const elapsed = (): number => systemClock.monotonicMs() - startMs;
  const due = (): number => {
    const room = underWayMax - settlements.underWay;
    const wanted = rate === 'max' ? room : Math.min(room, Math.floor((elapsed() / 1_000) * rate) - given);
    return Math.min(wanted, count - given, intake.sliceMax);
  };
  while (failure === undefined && given < count && elapsed() < ms) {
    const slice = sending.size < intake.slicesMax ? take(commands, due()) : [];
    if (slice.length === 0) {
      await systemClock.sleep(turnMs);
      continue;
    }
    settlements.sent(slice);
    given += slice.length;
    const sent: Promise<void> = intake
      .accept(slice)
      .catch((error: unknown) => {
        failure ??= error;
      })
      .finally(() => sending.delete(sent));
    sending.add(sent);
  }
  await Promise.all(sending);
  if (failure !== undefined) throw new Error('a command was not accepted', { cause: failure });
  return { accepted: given, ms: elapsed() };
}

export function take(commands: Iterator<Command, unknown>, count: number): readonly Command[] {
  const taken: Command[] = [];
  while (taken.length < count) {
    const next = commands.next();
    if (next.done === true) break;
    taken.push(next.value);
  }
  return taken;
}
