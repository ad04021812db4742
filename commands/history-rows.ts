/** Rows of a file: CSV with a head line (RFC 4180), or one JSON object a line. Read piece by piece: no more than a row is kept. */
import { Readable } from 'node:stream';
import { CsvError, parse } from 'csv-parse';
import { isObject } from '../api/peer-answer.ts';
import { StreamError } from '../errors.ts';

/** A row, or that there is none: `problem` is a code. `line` is its last one. */
export type Row =
  | { readonly line: number; readonly fields: Readonly<Record<string, string>> }
  | { readonly line: number; readonly problem: string };

/** Of a row: anything longer is a quote that nobody closed, or no such file. */
const rowCharsMax = 65_536;

/** A field of `null`, or without text, is absent. */
export async function* jsonRows(chunks: AsyncIterable<string>): AsyncGenerator<Row> {
  let line = 0;
  for await (const text of linesOf(chunks)) {
    line += 1;
    if (text.trim() !== '') yield jsonRow(line, text);
  }
}

function jsonRow(line: number, text: string): Row {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? textRow(line, value) : { line, problem: 'row_invalid' };
  } catch {
    return { line, problem: 'row_invalid' };
  }
}

/** Numbers are not taken: what JSON makes of an amount is no longer the amount. */
export function textRow(line: number, value: Readonly<Record<string, unknown>>): Row {
  const fields: Record<string, string> = {};
  for (const [name, field] of Object.entries(value)) {
    if (field === null || field === '') continue;
    if (typeof field !== 'string') return { line, problem: 'field_not_text' };
    fields[camelCase(name)] = field;
  }
  return { line, fields };
}

async function* linesOf(chunks: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = '';
  let line = 1;
  for await (const chunk of chunks) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    line += lines.length;
    if (rest.length > rowCharsMax) throw tooLong(line);
    yield* lines;
  }
  yield rest;
}

/** Columns are called by the head line, in snake or camel case. Rejects with `RECORD_INVALID` where quotes make no sense: nobody knows what is a row behind them. */
export async function* csvRows(chunks: AsyncIterable<string>): AsyncGenerator<Row> {
  let names: readonly string[] | undefined;
  for await (const { record, info } of csvRecords(chunks)) {
    if (names === undefined) names = record.map(camelCase);
    else if (record.length === names.length) yield { line: info.lines, fields: fieldsOf(names, record) };
    else yield { line: info.lines, problem: 'row_invalid' };
  }
}

interface CsvRecord {
  readonly record: readonly string[];
  readonly info: { readonly lines: number };
}

async function* csvRecords(chunks: AsyncIterable<string>): AsyncGenerator<CsvRecord> {
  const options = {
    bom: true,
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: rowCharsMax,
  };
  const parser = parse(options);
  try {
    yield* Readable.from(chunks).compose(parser) as AsyncIterable<CsvRecord>;
  } catch (cause) {
    if (!(cause instanceof CsvError)) throw cause;
    throw new StreamError('RECORD_INVALID', `line ${parser.info.lines}: ${cause.message}`, { cause });
  }
}

function fieldsOf(names: readonly string[], values: readonly string[]): Readonly<Record<string, string>> {
  const entries = names.map((name, index) => [name, values[index] ?? ''] as const);
  return Object.fromEntries(entries.filter(([, value]) => value !== ''));
}

function camelCase(name: string): string {
  return name.trim().replace(/_+([a-z])/g, (_all, letter: string) => letter.toUpperCase());
}

function tooLong(line: number): StreamError {
  return new StreamError('RECORD_INVALID', `line ${line}: a row of more than ${rowCharsMax} characters`);
}
