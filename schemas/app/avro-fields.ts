/** The words in which the application's Avro schemas are written. */
import type { AvroSchema } from '../../index.ts';

export interface AvroField {
  readonly name: string;
  readonly type: AvroSchema;
  readonly default?: unknown;
}

export const namespace = 'ctb';

export const text: AvroSchema = 'string';
/** Whole, and within 2^53. */
export const count: AvroSchema = 'long';
/** Microseconds UTC. */
export const instant: AvroSchema = { type: 'long', logicalType: 'timestamp-micros' };
/** Hundred-millionths, up to twelve digits before the point. */
export const money: AvroSchema = { type: 'bytes', logicalType: 'decimal', precision: 20, scale: 8 };
/** Sums of money, which nothing bounds. */
export const total: AvroSchema = { type: 'bytes', logicalType: 'decimal', precision: 38, scale: 8 };

export const list = (items: AvroSchema): AvroSchema => ({ type: 'array', items });
export const map = (values: AvroSchema): AvroSchema => ({ type: 'map', values });
export const nullable = (type: AvroSchema): AvroSchema => ['null', type];

/** One of some words. A word that a reader does not know yet reads as `UNKNOWN`, which no parser takes: that record is refused, not its topic. */
export function oneOf(name: string, words: readonly string[]): AvroSchema {
  return { type: 'enum', name, symbols: ['UNKNOWN', ...words], default: 'UNKNOWN' };
}

export const field = (name: string, type: AvroSchema): AvroField => ({ name, type });
/** Absent is `null`. */
export const optional = (name: string, type: AvroSchema): AvroField => ({ name, type: nullable(type), default: null });
/** Absent is false. */
export const flag = (name: string): AvroField => ({ name, type: 'boolean', default: false });
/** Absent is empty. */
export const optionalList = (name: string, items: AvroSchema): AvroField => ({ name, type: list(items), default: [] });

export const record = (name: string, ...fields: readonly AvroField[]): AvroSchema => ({ type: 'record', name, fields });

/** The schema of a topic's values: Avro wants a named type spelled out where it first stands, and by its name from there on. */
export function topicSchema(name: string, ...fields: readonly AvroField[]): AvroSchema {
  return spelledOnce({ type: 'record', name, namespace, fields }, new Set()) as AvroSchema;
}

function spelledOnce(node: unknown, seen: Set<string>): unknown {
  if (Array.isArray(node)) return node.map((item) => spelledOnce(item, seen));
  if (typeof node !== 'object' || node === null) return node;
  const { type, name } = node as { readonly type?: unknown; readonly name?: unknown };
  if (typeof name === 'string' && (type === 'record' || type === 'enum')) {
    if (seen.has(name)) return name;
    seen.add(name);
  }
  return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, spelledOnce(value, seen)]));
}
