import type { Random } from '../../clock.ts';

/** Numbers that a seed and a name determine: what one part of a simulation draws does not move what another draws. */
export class Chance implements Random {
  // A small fast counter (sfc32): four words of state.
  #a: number;
  #b: number;
  #c = 0;
  #count = 1;

  constructor(seed: number, name: string) {
    this.#a = seed >>> 0;
    this.#b = 0x811c_9dc5;
    for (let index = 0; index < name.length; index += 1)
      this.#b = Math.imul(this.#b ^ name.charCodeAt(index), 0x0100_0193);
    for (let round = 0; round < 15; round += 1) this.next();
  }

  next(): number {
    const sum = (this.#a + this.#b + this.#count) | 0;
    this.#count = (this.#count + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  }

  uuid(): string {
    const hex = (digits: number): string => Array.from({ length: digits }, () => this.below(16).toString(16)).join('');
    return `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(12)}`;
  }

  /** A whole number from 0 to `count` - 1. */
  below(count: number): number {
    return Math.floor(this.next() * count);
  }

  /** A whole number between both, inclusive. */
  between(from: number, to: number): number {
    return from + this.below(to - from + 1);
  }

  isTrue(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}
