/** What moves records between the log and other systems, beside the topologies. */

/** One measured value, ready for Prometheus. */
export interface Measure {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Makes measures that have these labels; what ends with `_total` only grows. */
export function measuresWith(labels: Measure['labels']): (name: string, help: string, value: number) => Measure {
  return (name, help, value) => ({ name, help, type: name.endsWith('_total') ? 'counter' : 'gauge', labels, value });
}

/** Runs from `start` to `close` and gets over whatever is away meanwhile, the log included. */
export interface Connector {
  readonly name: string;
  start(): void;
  /** Ends what is under way; what was not finished is found again by whoever goes on. */
  close(): Promise<void>;
  measures(): readonly Measure[];
}
