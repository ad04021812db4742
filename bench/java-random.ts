const multiplier = 0x5deece66dn;
const mask = (1n << 48n) - 1n;

/** The generator of `java.util.Random` (its documentation gives the recurrence), so that inputs equal those of the Java yardstick. */
export class JavaRandom {
  #seed: bigint;

  constructor(seed: bigint) {
    this.#seed = (seed ^ multiplier) & mask;
  }

  /** Uniform in [0, bound). */
  nextInt(bound: number): number {
    if ((bound & -bound) === bound) return Number((BigInt(bound) * BigInt(this.#next(31))) >> 31n);
    for (;;) {
      const bits = this.#next(31);
      const value = bits % bound;
      if (bits - value + (bound - 1) <= 0x7fffffff) return value;
    }
  }

  #next(bits: number): number {
    this.#seed = (this.#seed * multiplier + 0xbn) & mask;
    return Number(this.#seed >> BigInt(48 - bits));
  }
}
