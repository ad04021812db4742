/** Rows of a file: CSV with a head line (RFC 4180), or one JSON object a line. Read piece by piece: no more than a row is kept. */
import { isObject } from '../api/peer-answer.ts';
import { StreamError } from '../errors.ts';

/** A row, or that there is none: `problem` is a code. `line` is its first one. */
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

/** Columns are called by the head line, in snake or camel case. */
export async function* csvRows(chunks: AsyncIterable<string>): AsyncGenerator<Row> {
  const reader = new CsvReader();
  let names: readonly string[] | undefined;
  for await (const { line, values } of reader.read(chunks)) {
    if (names === undefined) names = values.map(camelCase);
    else if (values.length === names.length) yield { line, fields: fieldsOf(names, values) };
    else yield { line, problem: 'row_invalid' };
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

interface CsvRecord {
  readonly line: number;
  /** None of a record whose quotes make no sense. */
  readonly values: readonly string[];
}

class CsvReader {
  #line = 1;
  #firstLine = 1;
  #values: string[] = [];
  #field = '';
  #quote: 'none' | 'open' | 'closed' = 'none';
  #size = 0;
  #isBroken = false;

  async *read(chunks: AsyncIterable<string>): AsyncGenerator<CsvRecord> {
    for await (const chunk of chunks)
      for (const char of chunk) {
        const record = this.#take(char);
        if (record !== undefined) yield record;
      }
    if (this.#quote === 'open') this.#isBroken = true;
    const last = this.#endRecord();
    if (last !== undefined) yield last;
  }

  #take(char: string): CsvRecord | undefined {
    this.#size += 1;
    if (this.#size > rowCharsMax) throw tooLong(this.#firstLine);
    if (char === '\n') this.#line += 1;
    if (char === '"') this.#takeQuote();
    else if (this.#quote === 'open') this.#field += char;
    else if (char === '\n') return this.#endRecord();
    else if (char === ',') this.#endField();
    else if (char !== '\r' && char !== '\ufeff') this.#takePlain(char);
    return undefined;
  }

  /** Inside: the end, unless another follows. After one: that was no end, but a quote. Else it begins a field. */
  #takeQuote(): void {
    if (this.#quote === 'open') {
      this.#quote = 'closed';
      return;
    }
    if (this.#quote === 'closed') this.#field += '"';
    else if (this.#field !== '') this.#isBroken = true;
    this.#quote = 'open';
  }

  #takePlain(char: string): void {
    if (this.#quote === 'closed') this.#isBroken = true;
    this.#field += char;
  }

  #endField(): void {
    this.#values.push(this.#field);
    this.#field = '';
    this.#quote = 'none';
  }

  /** Nothing for an empty line. */
  #endRecord(): CsvRecord | undefined {
    this.#endField();
    const record = { line: this.#firstLine, values: this.#isBroken ? [] : this.#values };
    const isEmpty = this.#values.length === 1 && this.#values[0] === '' && !this.#isBroken;
    this.#values = [];
    this.#firstLine = this.#line;
    this.#size = 0;
    this.#isBroken = false;
    return isEmpty ? undefined : record;
  }
}
