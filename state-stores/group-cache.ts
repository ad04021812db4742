import type { Group } from './group.ts';

/** Groups by segment, then by name. */
type Generation<T> = Map<number, Map<string, Group<T>>>;

/**
 * Groups in memory, bounded in two generations: what was not used for half a cache's worth of other groups goes. Dirty groups stay until they
 * are taken.
 */
export class GroupCache<T> {
  readonly #generationBytesMax: number;
  #young: Generation<T> = new Map();
  #old: Generation<T> = new Map();
  #youngBytes = 0;
  #dirty: Group<T>[] = [];

  constructor(bytesMax: number) {
    this.#generationBytesMax = bytesMax / 2;
  }

  get(segment: number, name: string): Group<T> | undefined {
    const group = this.#young.get(segment)?.get(name);
    if (group !== undefined) return group;
    const older = this.#old.get(segment)?.get(name);
    if (older !== undefined) this.add(older);
    return older;
  }

  add(group: Group<T>): void {
    this.#insert(group);
    this.#rotateIfFull();
  }

  /** The group holds something new, of so many bytes. */
  touch(group: Group<T>, bytes: number): void {
    if (!group.isDirty) {
      group.isDirty = true;
      this.#dirty.push(group);
    }
    this.#youngBytes += bytes;
    this.#rotateIfFull();
  }

  /** The dirty groups in the order in which they became so; they count as clean from now on. */
  takeDirty(): readonly Group<T>[] {
    const taken = this.#dirty;
    this.#dirty = [];
    return taken;
  }

  clear(): void {
    this.#young.clear();
    this.#old.clear();
    this.#dirty = [];
    this.#youngBytes = 0;
  }

  #insert(group: Group<T>): void {
    let groups = this.#young.get(group.segment);
    if (groups === undefined) {
      groups = new Map();
      this.#young.set(group.segment, groups);
    }
    groups.set(group.name.name, group);
    this.#youngBytes += group.memoryBytes;
  }

  #rotateIfFull(): void {
    if (this.#youngBytes < this.#generationBytesMax) return;
    this.#old = this.#young;
    this.#young = new Map();
    this.#youngBytes = 0;
    for (const group of this.#dirty)
      if (this.#old.get(group.segment)?.get(group.name.name) === undefined) this.#insert(group);
  }
}
