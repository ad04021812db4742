/**
 * The format of conformance cases: a topology by `kind`, `params` and `functions`, inputs, and the outputs that Kafka Streams gives, step by
 * step. `README.md` beside the fixtures describes it.
 */

export type TypeName = 'string' | 'int32' | 'int64' | 'float32' | 'float64' | 'windowed' | 'change';

export interface WindowedKey {
  readonly key: unknown;
  readonly start: number;
  readonly end: number;
  readonly type: 'time' | 'session';
}

/** One output; what is absent is not asserted. */
export interface Output {
  readonly key: unknown;
  readonly value: unknown;
  readonly ts?: number;
  readonly headers?: readonly (readonly [string, string])[];
}

export interface RecordInput {
  readonly topic: string;
  readonly key: unknown;
  readonly value: unknown;
  readonly ts: number | null;
  readonly headers?: readonly (readonly [string, string])[];
}

export interface ClockInput {
  readonly advanceWallClockTo: number;
}

export type Input = RecordInput | ClockInput;

/** `pass:<i>`, `throws …`, or an output. */
export type Expected = Output | string;

/** Per step: everything since the last asserted step; `null`: not asserted here. */
export type Steps<T> = readonly (readonly T[] | string | null)[];

export type ByOutput<T> = T | Readonly<Record<string, T>>;

export type FunctionText = string | Readonly<Record<string, string>>;

export interface ConformanceCase {
  readonly name: string;
  readonly kind: string;
  readonly params: Params;
  readonly functions: Readonly<Record<string, FunctionText>>;
  readonly types: Readonly<Record<string, { readonly key: TypeName; readonly value: TypeName }>>;
  readonly input: readonly Input[];
  readonly expected?: ByOutput<Steps<Expected>>;
  readonly expectedFinal?: ByOutput<readonly unknown[]>;
  readonly expectedMode?: string;
  readonly store?: Steps<Output>;
  readonly storeAfter?: Steps<Output>;
  readonly storeFinal?: readonly Output[];
  readonly rejoinExpected?: Steps<Expected>;
  readonly dropped?: readonly (boolean | null)[];
  readonly droppedTotal?: number;
  readonly caching?: string;
  readonly cachedVariant?: {
    readonly input?: 'same' | readonly Input[];
    readonly lastOutput: Output;
  };
  readonly driverOutput?: Readonly<Record<string, Steps<Output>>>;
  readonly verified?: string | boolean;
  readonly tags?: readonly string[];
}

/** Numbers and options of a kind. All that a runner reads is named here; a name it does not know fails the case. */
export interface Params {
  readonly windows?: 'tumbling' | 'hopping' | 'sliding' | 'session';
  readonly sizeMs?: number;
  readonly advanceMs?: number;
  readonly timeDifferenceMs?: number;
  readonly gapMs?: number;
  readonly graceMs?: number;
  readonly retentionMs?: number;
  readonly emit?: 'update' | 'close';
  readonly emitIntervalMs?: number;
  readonly caching?: string;
  readonly output?: 'value' | 'change';
  readonly outputs?: readonly string[];
  readonly sendOldValues?: boolean;
  readonly topics?: readonly string[];
  readonly windowMs?: number;
  readonly beforeMs?: number;
  readonly afterMs?: number;
  readonly leftOps?: readonly string[];
  readonly rightOps?: readonly string[];
  readonly ops?: readonly string[];
  readonly table?: string;
  readonly left?: string;
  readonly right?: string;
  readonly globalTable?: string;
  readonly globalTopic?: string;
  readonly historyRetentionMs?: number;
  readonly joinedGraceMs?: number;
  readonly materialized?: boolean;
  readonly joins?: readonly ('inner' | 'left' | 'outer')[];
  readonly join?: 'inner' | 'left' | 'outer';
  readonly suppressSide?: 'left' | 'right';
  readonly untilTimeLimitMs?: number;
  readonly untilWindowCloses?: boolean;
  readonly maxRecords?: number;
  readonly maxBytes?: number;
  readonly whenFull?: 'emitEarly' | 'shutDown';
  readonly source?: string;
  readonly steps?: readonly string[];
}

/** The cases of one file: a list, or an object with a list of `cases`. */
export function parseCases(text: string): readonly ConformanceCase[] {
  const parsed = JSON.parse(text) as readonly ConformanceCase[] | { readonly cases: readonly ConformanceCase[] };
  return 'cases' in parsed ? parsed.cases : parsed;
}
