/** Figures of a load test: how long things took, and what processor time they cost. */
import { readFile } from 'node:fs/promises';

export class Latencies {
  readonly #ms: number[] = [];

  add(ms: number): void {
    this.#ms.push(ms);
  }

  get count(): number {
    return this.#ms.length;
  }

  /** Nearest rank, ms; `undefined` if nothing was measured. */
  at(share: number): number | undefined {
    const sorted = this.#ms.toSorted((a, b) => a - b);
    return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  }

  toString(): string {
    const ms = (share: number): string => (this.at(share) ?? NaN).toFixed(1);
    return `p50 ${ms(0.5)} ms, p99 ${ms(0.99)} ms, longest ${ms(1)} ms (${String(this.count)})`;
  }
}

/** The kernel counts in hundredths of a second, whatever the machine. */
const ticksPerSecond = 100;

/** Seconds of processor time that a process has used; `undefined` where the system does not tell. */
export async function cpuSecondsOf(pid: number): Promise<number | undefined> {
  const stat = await readFile(`/proc/${String(pid)}/stat`, 'utf8').catch(() => undefined);
  // The name comes in parentheses and may hold spaces; user and system time are the 12th and 13th fields after it.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields === undefined ? undefined : (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}
