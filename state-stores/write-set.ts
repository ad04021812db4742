import { assert } from '../errors.ts';
import type { Header } from '../schemas/record.ts';

/** One write as the changelog gets it. The arrays stay untouched until it is applied. */
export interface SealedWrite {
  readonly key: Uint8Array;
  /** As stored; `undefined`: deleted. */
  readonly value: Uint8Array | undefined;
  readonly timestampMs: number;
  readonly headers: readonly Header[];
}

/** The latest write of one key, linked in the order of last writes. */
class Write implements SealedWrite {
  readonly key: Uint8Array;
  value: Uint8Array | undefined;
  timestampMs: number;
  headers: readonly Header[];
  /** Whether the ordered index held the key before its first write in this set. */
  readonly wasIndexed: boolean;
  previous: Write | undefined = undefined;
  next: Write | undefined = undefined;

  constructor(write: SealedWrite, wasIndexed: boolean) {
    this.key = write.key;
    this.value = write.value;
    this.timestampMs = write.timestampMs;
    this.headers = write.headers;
    this.wasIndexed = wasIndexed;
  }
}

/** What a write replaced, to undo it. */
export interface ReplacedWrite {
  readonly name: string;
  /** Whether the ordered index held the key just before. */
  readonly wasIndexed: boolean;
  /** The write of the same key in the same set, and the one before it in order; `undefined` if the key was new to the set. */
  readonly before: (SealedWrite & { readonly previous: unknown }) | undefined;
}

function headerBytes(headers: readonly Header[]): number {
  let bytes = 0;
  for (const { key, value } of headers) bytes += key.length + (value?.length ?? 0);
  return bytes;
}

function sizeOf(write: SealedWrite): number {
  return write.key.length + (write.value?.length ?? 0) + (write.headers.length === 0 ? 0 : headerBytes(write.headers));
}

/** The last write of each key, in the order of those last writes. */
export class WriteSet {
  readonly #byKey = new Map<string, Write>();
  #first: Write | undefined;
  #last: Write | undefined;
  #bytes = 0;

  get count(): number {
    return this.#byKey.size;
  }

  /** Of keys, values and headers. */
  get bytes(): number {
    return this.#bytes;
  }

  get(key: string): SealedWrite | undefined {
    return this.#byKey.get(key);
  }

  /** `wasIndexed` counts for the first write of a key only. */
  put(key: string, write: SealedWrite, wasIndexed: boolean): void {
    const known = this.#byKey.get(key);
    this.#bytes += sizeOf(write);
    if (known === undefined) {
      const added = new Write(write, wasIndexed);
      this.#byKey.set(key, added);
      this.#append(added);
      return;
    }
    this.#bytes -= sizeOf(known);
    known.value = write.value;
    known.timestampMs = write.timestampMs;
    known.headers = write.headers;
    if (known === this.#last) return;
    this.#unlink(known);
    this.#append(known);
  }

  /** What a `put` of this key would replace; for `undo`. */
  replaced(name: string, wasIndexed: boolean): ReplacedWrite {
    const known = this.#byKey.get(name);
    if (known === undefined) return { name, wasIndexed, before: undefined };
    const { key, value, timestampMs, headers, previous } = known;
    return { name, wasIndexed, before: { key, value, timestampMs, headers, previous } };
  }

  /** Takes the latest put back; several in the reverse order of their puts. */
  undo({ name, before }: ReplacedWrite): void {
    const write = this.#byKey.get(name);
    assert(write !== undefined && write === this.#last, 'what is undone was written last');
    this.#bytes -= sizeOf(write);
    this.#last = write.previous;
    if (write.previous === undefined) this.#first = undefined;
    else write.previous.next = undefined;
    if (before === undefined) {
      this.#byKey.delete(name);
      return;
    }
    write.value = before.value;
    write.timestampMs = before.timestampMs;
    write.headers = before.headers;
    this.#bytes += sizeOf(write);
    this.#insertAfter(before.previous instanceof Write ? before.previous : undefined, write);
  }

  /** In last-write order. */
  writes(): readonly SealedWrite[] {
    const writes: SealedWrite[] = [];
    for (let write = this.#first; write !== undefined; write = write.next) writes.push(write);
    return writes;
  }

  /** Every key with whether the ordered index held it before this set. */
  *indexedBefore(): IterableIterator<readonly [key: string, wasIndexed: boolean]> {
    for (const [key, { wasIndexed }] of this.#byKey) yield [key, wasIndexed];
  }

  #append(write: Write): void {
    write.previous = this.#last;
    write.next = undefined;
    if (this.#last === undefined) this.#first = write;
    else this.#last.next = write;
    this.#last = write;
  }

  #insertAfter(previous: Write | undefined, write: Write): void {
    const next = previous === undefined ? this.#first : previous.next;
    write.previous = previous;
    write.next = next;
    if (previous === undefined) this.#first = write;
    else previous.next = write;
    if (next === undefined) this.#last = write;
    else next.previous = write;
  }

  /** Of a write that is not the last. */
  #unlink(write: Write): void {
    if (write.previous === undefined) this.#first = write.next;
    else write.previous.next = write.next;
    if (write.next !== undefined) write.next.previous = write.previous;
  }
}
