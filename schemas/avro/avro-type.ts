/** Compiles Avro schemas, each with options of its own: avsc keeps the names of a schema's records in them. */
import avsc, { type ForSchemaOptions, type Type } from 'avsc';
import { StreamError } from '../../errors.ts';
import { DecimalType, bigintLong, exactLong, type LogicalSchema } from './logical-types.ts';

/** An Avro schema as JSON has it. */
export type AvroSchema =
  string | readonly AvroSchema[] | { readonly type: unknown; readonly [attribute: string]: unknown };

export interface CompileOptions {
  /** How a `long` without a logical type of ours is read: refused beyond 2^53 (default), or as a `bigint` there. */
  readonly longs?: 'number' | 'exact';
}

/** Nested deeper than any schema of use, and shallow enough for every recursion over it. */
const nestingMax = 64;

/** Throws `SCHEMA_REFUSED` if this is no Avro schema. Unions of values are never wrapped unless their branches cannot be told apart. */
export function compileAvro(schema: AvroSchema, { longs = 'number' }: CompileOptions = {}): Type {
  refuseNesting(schema, 0);
  const options: Partial<ForSchemaOptions> = {
    logicalTypes: { decimal: DecimalType as never },
    omitRecordMethods: true,
    typeHook: (node) => longOf(node, longs),
  };
  try {
    return avsc.Type.forSchema(schema as never, options);
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new StreamError('SCHEMA_REFUSED', `not an Avro schema: ${problem.slice(0, 300)}`, { cause });
  }
}

/** Parses the text of a schema; throws `SCHEMA_REFUSED`. */
export function parseAvro(text: string): AvroSchema {
  try {
    return JSON.parse(text) as AvroSchema;
  } catch (cause) {
    throw new StreamError('SCHEMA_REFUSED', 'an Avro schema is JSON, this is none', { cause });
  }
}

function longOf(node: unknown, longs: CompileOptions['longs']): Type | undefined {
  if (node === 'long') return longs === 'exact' ? exactLong : undefined;
  if (typeof node !== 'object' || node === null) return undefined;
  const { type, logicalType } = node as LogicalSchema;
  if (type !== 'long') return undefined;
  if (logicalType === 'bigint') return bigintLong;
  return longs === 'exact' ? exactLong : undefined;
}

function refuseNesting(node: unknown, depth: number): void {
  if (typeof node !== 'object' || node === null) return;
  if (depth > nestingMax) throw new StreamError('SCHEMA_REFUSED', `an Avro schema nests at most ${nestingMax} deep`);
  for (const child of Object.values(node)) refuseNesting(child, depth + 1);
}
