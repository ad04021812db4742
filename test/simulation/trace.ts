/** What happened, in order: hashed always, kept where somebody wants to read it. */
export interface TraceLine {
  readonly atMs: number;
  readonly who: string;
  readonly what: string;
  /** Worth reading without the traffic around it. */
  readonly isMilestone: boolean;
}

export class Trace {
  readonly lines: TraceLine[] = [];
  /** Marks of rare paths, with how often each was reached. */
  readonly marks = new Map<string, number>();
  readonly #isKept: boolean;
  #hash = 0x811c_9dc5;

  constructor(isKept: boolean) {
    this.#isKept = isKept;
  }

  /** Equal for equal histories. */
  get hash(): string {
    return this.#hash.toString(16).padStart(8, '0');
  }

  add(line: TraceLine): void {
    this.#mix(`${line.atMs}|${line.who}|${line.what}`);
    if (this.#isKept) this.lines.push(line);
  }

  mark(name: string): void {
    this.marks.set(name, (this.marks.get(name) ?? 0) + 1);
  }

  #mix(text: string): void {
    let hash = this.#hash;
    for (let index = 0; index < text.length; index += 1)
      hash = (Math.imul(hash ^ text.charCodeAt(index), 0x0100_0193) ^ (hash >>> 15)) >>> 0;
    this.#hash = hash;
  }
}

/** One line per event, seconds of virtual time first. */
export function timeline(lines: readonly TraceLine[], isWhole: boolean): string {
  return lines
    .filter((line) => isWhole || line.isMilestone)
    .map(({ atMs, who, what }) => `${(atMs / 1000).toFixed(4).padStart(10)}  ${who.padEnd(12)} ${what}`)
    .join('\n');
}
