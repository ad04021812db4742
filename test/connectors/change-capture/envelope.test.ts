import { expect, test } from '@jest/globals';
import {
  recordsOf,
  type ChangeRecord,
  type ChangeSource,
  type RowChange,
} from '../../../connectors/change-capture/envelope.ts';
import { readMessage, type Relation } from '../../../connectors/change-capture/pgoutput.ts';

const source: ChangeSource = {
  name: 'db',
  database: 'd',
  transactionId: 7,
  lsn: 42n,
  commitMicros: 1_767_225_600_123_456,
  isSnapshot: false,
};

const relationOf = (types: Readonly<Record<string, number>>): Relation => ({
  id: 1,
  schema: 'public',
  table: 'things',
  columns: Object.entries(types).map(([name, typeId]) => ({ name, typeId, isKey: name === 'id' })),
});

interface Shown {
  readonly key: unknown;
  readonly value: { readonly op: string; readonly before: unknown; readonly after: unknown } | undefined;
  readonly headers: readonly string[];
}

const parse = (bytes: Uint8Array): unknown => JSON.parse(Buffer.from(bytes).toString()) as unknown;

function shown(records: readonly ChangeRecord[]): readonly Shown[] {
  return records.map(({ key, value, headers }) => ({
    key: parse(key),
    value: value === undefined ? undefined : (parse(value) as NonNullable<Shown['value']>),
    headers: headers.map((header) => `${header.key}=${Buffer.from(header.value ?? []).toString()}`),
  }));
}

function after(types: Readonly<Record<string, number>>, row: readonly (string | null | undefined)[]): unknown {
  return shown(recordsOf(relationOf(types), { op: 'c', after: row }, source))[0]?.value?.after;
}

test.each([
  ['bigint', 20, '9007199254740993', '9007199254740993'],
  ['integer', 23, '-7', -7],
  ['boolean of the stream', 16, 't', true],
  ['boolean of the snapshot', 16, 'false', false],
  ['double', 701, '0.1', 0.1],
  ['double without number', 701, 'NaN', 'NaN'],
  ['numeric', 1700, '12.50', '12.50'],
  ['date', 1082, '1970-01-02', 1],
  ['leap day', 1082, '2024-02-29', 19_782],
  ['date before 1970', 1082, '1969-12-31', -1],
  ['date without end', 1082, 'infinity', 'infinity'],
  ['timestamp', 1114, '2026-01-01 00:00:00.5', 1_767_225_600_500_000],
  ['timestamp with zone', 1184, '2026-01-01 00:00:00.123+00', '2026-01-01T00:00:00.123Z'],
  ['text', 25, 'ä "quoted"', 'ä "quoted"'],
  ['null', 25, null, null],
  ['text that was not sent', 25, undefined, '__debezium_unavailable_value'],
])('%s is written as Debezium writes it', (_, type, given, expected) => {
  expect(after({ id: 23, x: type }, ['1', given])).toEqual({ id: 1, x: expected });
});

const things = relationOf({ id: 20, name: 25 });
const changes = (change: RowChange): readonly Shown[] => shown(recordsOf(things, change, source));

test('a deletion names its key, and a tombstone follows', () => {
  expect(changes({ op: 'd', before: ['3', null] })).toEqual([
    {
      key: { id: 3 },
      value: expect.objectContaining({ op: 'd', before: { id: 3 }, after: null }) as unknown,
      headers: [],
    },
    { key: { id: 3 }, value: undefined, headers: [] },
  ]);
});

test('a changed key is a deletion, a tombstone and a creation that name each other; one that stays is an update', () => {
  const [deletion, tombstone, creation] = changes({ op: 'u', before: ['3', null], after: ['4', 'x'] });
  expect(deletion).toMatchObject({ key: { id: 3 }, value: { op: 'd' }, headers: ['__debezium.newkey={"id":4}'] });
  expect(tombstone).toEqual({ key: { id: 3 }, value: undefined, headers: [] });
  expect(creation).toMatchObject({
    key: { id: 4 },
    value: { op: 'c', after: { id: 4, name: 'x' } },
    headers: ['__debezium.oldkey={"id":3}'],
  });
  expect(changes({ op: 'u', before: ['3', 'y'], after: ['3', 'x'] })).toMatchObject([{ value: { op: 'u' } }]);
});

test('an event says where in the log and when it was committed', () => {
  const [{ value } = { value: undefined }] = changes({ op: 'c', after: ['1', 'x'] });
  expect(value).toMatchObject({
    source: {
      lsn: 42,
      txId: 7,
      ts_us: 1_767_225_600_123_456,
      ts_ms: 1_767_225_600_123,
      snapshot: 'false',
      table: 'things',
    },
  });
});

test.each([
  ['a relation that is cut short', Buffer.from('R\0\0\0\x01public\0thi')],
  [
    'a row with text beyond the message',
    Buffer.concat([Buffer.from('I\0\0\0\x01N\0\x01t'), Buffer.from([0, 0, 1, 0, 65])]),
  ],
  ['nothing', Buffer.alloc(0)],
])('%s is refused as damage', (_, bytes) => {
  expect(() => readMessage(bytes)).toThrow(expect.objectContaining({ code: 'RECORD_CORRUPT' }));
});
