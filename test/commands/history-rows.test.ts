import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { csvRows, jsonRows, type Row } from '../../commands/history-rows.ts';

async function* inPieces(text: string, size: number): AsyncGenerator<string> {
  for (let at = 0; at < text.length; at += size) yield text.slice(at, at + size);
}

async function all(rows: AsyncIterable<Row>): Promise<readonly Row[]> {
  const found: Row[] = [];
  for await (const row of rows) found.push(row);
  return found;
}

const csv = (text: string, size = 7) => all(csvRows(inPieces(text, size)));
const json = (text: string, size = 7) => all(jsonRows(inPieces(text, size)));

describe('rows of CSV', () => {
  test('are called by the head line, in snake or camel case; what is empty is absent', async () => {
    expect(await csv('transaction_id,createdAt,reference\r\n1,now,\r\n\r\n2,then,"a ""b"", c"')).toEqual([
      { line: 2, fields: { transactionId: '1', createdAt: 'now' } },
      { line: 4, fields: { transactionId: '2', createdAt: 'then', reference: 'a "b", c' } },
    ]);
  });

  test('may go on over several lines, and are counted by their last', async () => {
    expect(await csv('a,b\n"1\n2",x\n3,y\n')).toEqual([
      { line: 3, fields: { a: '1\n2', b: 'x' } },
      { line: 4, fields: { a: '3', b: 'y' } },
    ]);
  });

  test.each([
    ['too many fields', '1,2,3'],
    ['too few', '1'],
  ])('%s make no row', async (_what, line) => {
    expect(await csv(`a,b\n${line}`)).toEqual([{ line: 2, problem: 'row_invalid' }]);
  });

  test.each([
    ['text behind a quote', '"1"x,2'],
    ['a quote within text', 'x"1",2'],
    ['a quote that nobody closes', '"1,2'],
  ])('end at %s', async (_what, line) => {
    await expect(csv(`a,b\n${line}`)).rejects.toMatchObject({ code: 'RECORD_INVALID' });
  });

  test('end at a bound', async () => {
    await expect(csv(`a\n"${'x'.repeat(70_000)}`, 65_536)).rejects.toMatchObject({ code: 'RECORD_INVALID' });
  });

  test('are what was written, wherever the pieces end', async () => {
    const field = fc.string({ unit: fc.constantFrom('a', '"', ',', '\n', ' '), maxLength: 5 });
    const rows = fc.array(fc.tuple(field, fc.constantFrom('x', '"')), { maxLength: 8 });
    const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;
    await fc.assert(
      fc.asyncProperty(rows, fc.integer({ min: 1, max: 9 }), async (written, size) => {
        const text = ['a,b', ...written.map((fields) => fields.map(quoted).join(','))].join('\n');
        const read = (await csv(text, size)).map((row) => ('fields' in row ? row.fields : row));
        expect(read).toEqual(written.map(([a, b]) => (a === '' ? { b } : { a, b })));
      }),
    );
  });
});

describe('JSON lines', () => {
  test('are objects of texts', async () => {
    expect(await json('{"transaction_id":"1","reference":null}\n\n{"a":"ü"}')).toEqual([
      { line: 1, fields: { transactionId: '1' } },
      { line: 3, fields: { a: 'ü' } },
    ]);
  });

  test('with numbers are refused: an amount would be no longer what was written', async () => {
    expect(await json('{"amount":1.10}\n[1]\n{"a"')).toEqual([
      { line: 1, problem: 'field_not_text' },
      { line: 2, problem: 'row_invalid' },
      { line: 3, problem: 'row_invalid' },
    ]);
  });

  test('end at a bound', async () => {
    await expect(json('x'.repeat(70_000), 65_536)).rejects.toMatchObject({ code: 'RECORD_INVALID' });
  });
});
