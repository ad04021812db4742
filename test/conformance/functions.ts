/** User functions of a case: JavaScript expressions over named values. */
import { compileFunction } from 'node:vm';
import type { ConformanceCase, FunctionText } from './format.ts';

export type AnyFunction = (...values: readonly unknown[]) => unknown;

const parameters: Readonly<Record<string, readonly string[]>> = {
  joiner: ['left', 'right'],
  joiner1: ['left', 'right'],
  joiner2: ['left', 'right'],
  rejoiner: ['left', 'right'],
  foreignKeyExtractor: ['key', 'value'],
  foreignKeyExtractor1: ['key', 'value'],
  foreignKeyExtractor2: ['key', 'value'],
  keyMapper: ['key', 'value'],
  groupBy: ['key', 'value'],
  regroup: ['key', 'value'],
  initializer: [],
  again: [],
  aggregator: ['key', 'value', 'agg'],
  adder: ['key', 'value', 'agg'],
  subtractor: ['key', 'value', 'agg'],
  reducer: ['a', 'b'],
  merger: ['key', 'a', 'b'],
  predicate: ['key', 'value'],
  mapper: ['key', 'value'],
};

/** Adder and subtractor of a reduction combine two values. */
const reducing = ['a', 'b'];

export class Functions {
  readonly #case: ConformanceCase;

  constructor(of: ConformanceCase) {
    this.#case = of;
  }

  has(name: string): boolean {
    return this.#case.functions[name] !== undefined;
  }

  get isCount(): boolean {
    return this.#case.functions['op'] === 'count';
  }

  /** The function of that name; throws if the case has none. */
  get(name: string): AnyFunction {
    return compile(textOf(name, this.#case.functions[name]), parameters[name] ?? []);
  }

  /** As `get`, of two values. */
  reducer(name: string): AnyFunction {
    return compile(textOf(name, this.#case.functions[name]), reducing);
  }

  /** An aggregator for each topic, in the order of the case. */
  aggregators(): readonly (readonly [topic: string, aggregator: AnyFunction])[] {
    const texts = this.#case.functions['aggregators'];
    if (typeof texts !== 'object') throw new Error('the case has no aggregators');
    return Object.entries(texts).map(
      ([topic, text]) => [topic, compile(text, parameters['aggregator'] ?? [])] as const,
    );
  }
}

function textOf(name: string, text: FunctionText | undefined): string {
  if (typeof text !== 'string') throw new Error(`the case has no function ${name}`);
  return text;
}

function compile(text: string, names: readonly string[]): AnyFunction {
  if (text === 'set union') return (a, b) => [...new Set([...list(a), ...list(b)])];
  if (text === 'set difference') return (a, b) => list(a).filter((item) => !list(b).includes(item));
  const run = compileFunction(`return (${text});`, [...names, 'trunc']) as AnyFunction;
  return (...values) => presence(run(...names.map((_, index) => values[index]), Math.trunc));
}

/** What is undefined counts as null, inside a pair too. */
function presence(result: unknown): unknown {
  return Array.isArray(result) ? result.map((item: unknown) => item ?? null) : (result ?? null);
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
