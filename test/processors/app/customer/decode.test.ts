import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { decodeChange, decodeParsed } from '../../../../processors/app/customer/decode.ts';
import { decimalFromBase64 } from '../../../../processors/app/customer/connect-schema.ts';
import { baseMs, changeOf, changesOf, decodeWritten, pollerEvent } from '../../../support/customer/records.ts';

const micros = (ms: number): number => ms * 1000;
const source = { ts_us: micros(baseMs), ts_ms: baseMs, lsn: 7, table: 'customers_a', name: 'sysa' };

function envelope(parts: object): object {
  return { before: null, after: null, source, op: 'u', ...parts };
}

describe('events of the pollers', () => {
  test('system A: every field, with the time of the record as version', () => {
    const value = {
      eventId: '0b5c',
      source: 'system_a',
      operation: 'CREATE',
      timestamp: '2026-01-01T00:00:09Z',
      payload: {
        email: ' Ann@Example.TEST ',
        id: 17,
        name: 'Ann',
        address: '1 High St',
        contractStartDate: '2024-02-29',
        contractType: 'gold',
        lastUpdated: '2025-12-31T23:59:59.123456Z',
      },
    };
    expect(changesOf(decodeWritten({ key: 'ann@example.test', value }))).toEqual([
      {
        eventId: '0b5c',
        source: 'system_a',
        sourceId: '17',
        op: 'CREATE',
        version: { ts: 1_767_225_599_123_456, seq: 0, tie: '' },
        email: 'ann@example.test',
        emailRaw: ' Ann@Example.TEST ',
        image: { name: 'Ann', address: '1 High St', contractStart: '2024-02-29', contractType: 'gold' },
        present: ['name', 'address', 'contractStart', 'contractType', 'email'],
        updatedAt: 1_767_225_599_123_456,
        ingestedAt: micros(baseMs),
      },
    ]);
  });

  test('system B: uuid in lower case, phone cleared by null, fields of system A ignored', () => {
    const value = pollerEvent({
      source: 'system_b',
      id: '7B1E0F5E-8F3B-4A52-9A7D-2D0B5F0C1A11',
      fields: { email: 'ann@example.test', name: 'Ann', phone: null, contract_type: 'gold' },
    });
    expect(changeOf(decodeWritten({ source: 'system_b', value }))).toMatchObject({
      sourceId: '7b1e0f5e-8f3b-4a52-9a7d-2d0b5f0c1a11',
      image: { name: 'Ann', phone: null },
      present: ['name', 'phone', 'email'],
    });
  });

  test.each([
    ['both spellings', { contract_start: '2024-01-01', contract_type: 'gold', last_updated: '2026-01-01T00:00:00Z' }],
    ['camel case', { contractStart: '2024-01-01', contractType: 'gold', updatedAt: '2026-01-01 00:00:00' }],
    ['long names', { contract_start_date: '2024-01-01', contractType: 'gold', updated_at: baseMs }],
  ])('column names: %s', (_name, columns) => {
    const value = { source: 'system_a', operation: 'UPDATE', payload: { id: 1, ...columns } };
    expect(changeOf(decodeWritten({ value }))).toMatchObject({
      image: { contractStart: '2024-01-01', contractType: 'gold' },
      version: { ts: micros(baseMs), seq: 0 },
    });
  });

  test('a partial payload carries only what it names; the address of the key counts if the payload has none', () => {
    const value = pollerEvent({ id: 1, fields: { name: 'Ann' } });
    expect(changeOf(decodeWritten({ key: 'Ann@x.test', value }))).toMatchObject({
      email: 'ann@x.test',
      image: { name: 'Ann' },
      present: ['name', 'email'],
    });
    const silent = changeOf(
      decodeWritten({ key: 'Ann@x.test', value: pollerEvent({ id: 1, fields: { email: null } }) }),
    );
    expect(silent.email).toBeUndefined();
    expect(silent.present).toEqual(['email']);
  });

  test('a backfill is a snapshot; a deletion happens when it is noticed', () => {
    expect(changeOf(decodeWritten({ value: { ...pollerEvent({ id: 1, fields: { name: 'A' } }), op: 'r' } })).op).toBe(
      'SNAPSHOT',
    );
    const value = { ...pollerEvent({ id: 1, operation: 'DELETE' }), timestamp: '2026-01-01T00:01:00Z' };
    expect(changeOf(decodeWritten({ value }))).toMatchObject({
      op: 'DELETE',
      version: { ts: micros(baseMs + 60_000) },
      image: {},
      present: [],
    });
    const bare = { operation: 'DELETE', timestamp: '2026-01-01T00:01:00Z', before: { id: 1 } };
    expect(changeOf(decodeWritten({ value: bare })).sourceId).toBe('1');
  });

  test('the address before the change is kept', () => {
    const value = { ...pollerEvent({ id: 1, fields: { email: 'new@x.test' } }), before: { email: 'Old@x.test' } };
    expect(changeOf(decodeWritten({ value })).before).toEqual({ email: 'old@x.test' });
  });

  test.each([
    ['another system', { ...pollerEvent({ id: 1, fields: { name: 'A' } }), source: 'system_b' }, 'wrong_source'],
    ['no payload', { operation: 'UPDATE', timestamp: '2026-01-01T00:00:00Z', payload: null }, 'missing_row'],
    ['an unknown operation', { ...pollerEvent({ id: 1 }), operation: 'UPSERT' }, 'invalid_operation'],
    ['no id', { operation: 'UPDATE', payload: { name: 'A', lastUpdated: 1 } }, 'missing_id'],
    ['an object as id', pollerEvent({ id: {} as never, fields: { name: 'A' } }), 'invalid_id'],
    ['no time', { operation: 'UPDATE', payload: { id: 1, name: 'A' } }, 'missing_timestamp'],
    [
      'a time that is none',
      pollerEvent({ id: 1, lastUpdated: 'yesterday', fields: { name: 'A' } }),
      'invalid_timestamp',
    ],
    ['a name that is a list', pollerEvent({ id: 1, fields: { name: ['A'] } }), 'invalid_field'],
    ['a date that is none', pollerEvent({ id: 1, fields: { contractStart: '2023-02-29' } }), 'invalid_field'],
    ['NUL in a name', pollerEvent({ id: 1, fields: { name: 'A\u0000' } }), 'invalid_field'],
    ['nothing of a customer', pollerEvent({ id: 1, fields: { balance: 3 } }), 'unknown_shape'],
  ])('refuses %s', (_name, value, code) => {
    expect(decodeWritten({ key: 'a@x.test', value })).toMatchObject({ kind: 'reject', code });
  });
});

describe('Debezium records', () => {
  test('an unchanged out-of-line column that was not sent is not present', () => {
    const after = { id: 1, name: 'Ann', address: '__debezium_unavailable_value', email: 'ann@x.test' };
    expect(changeOf(decodeWritten({ key: { id: 1 }, value: envelope({ after }) }))).toMatchObject({
      image: { name: 'Ann' },
      present: ['name', 'email'],
    });
  });

  test('with full images the address before the change is kept', () => {
    const value = envelope({ before: { id: 1, email: 'Old@x.test' }, after: { id: 1, email: 'new@x.test' } });
    expect(changeOf(decodeWritten({ key: { id: 1 }, value })).before).toEqual({ email: 'old@x.test' });
  });

  test('of a deletion only the key counts: an invented e-mail in the image before is not read', () => {
    const value = envelope({ op: 'd', before: { id: 1, name: '', email: 'ghost@x.test', contract_start: 'never' } });
    expect(changeOf(decodeWritten({ key: { id: 1 }, value }))).toEqual({
      eventId: `sysa:a:1:DELETE:${String(micros(baseMs))}:7`,
      source: 'system_a',
      sourceId: '1',
      op: 'DELETE',
      version: { ts: micros(baseMs), seq: 7, tie: '' },
      image: {},
      present: [],
      tombstoneFollows: true,
      ingestedAt: micros(baseMs),
    });
  });

  test('logical types of a schema: decimal ids, days, milliseconds, microseconds', () => {
    const field = (name: string, type: string, scale?: string): object => ({
      field: name,
      name: type,
      ...(scale === undefined ? {} : { parameters: { scale } }),
    });
    const fields = [
      field('id', 'org.apache.kafka.connect.data.Decimal', '0'),
      field('contract_start', 'io.debezium.time.Date'),
      field('updated_at', 'io.debezium.time.MicroTimestamp'),
    ];
    const schema = { type: 'struct', fields: [{ field: 'before' }, { field: 'after', fields }] };
    // 1973-01-01 in microseconds looks like milliseconds of another time, so the schema has to decide.
    const after = { id: 'AQA=', name: 'Ann', contract_start: 19_782, updated_at: 94_694_400_000_000 };
    expect(changeOf(decodeWritten({ value: { schema, payload: envelope({ after }) } }))).toMatchObject({
      sourceId: '256',
      image: { contractStart: '2024-02-29' },
      updatedAt: 94_694_400_000_000,
    });
    const variable = { id: { scale: 0, value: 'Bw==' }, name: 'Ann' };
    expect(changeOf(decodeWritten({ value: envelope({ after: variable }) })).sourceId).toBe('7');
  });

  test.each([
    ['AA==', 2, '0.00'],
    ['A+g=', 2, '10.00'],
    ['+w==', 2, '-0.05'],
    ['Af4=', 2, '5.10'],
    ['Bw==', -2, '700'],
    ['gA==', 0, '-128'],
  ])('base64 decimal %s with scale %d is %s', (text, scale, decimal) => {
    expect(decimalFromBase64(text, scale)).toBe(decimal);
  });

  test.each([
    [19_782, '2024-02-29'],
    ['2024-02-29', '2024-02-29'],
    ['2024-02-29Z', '2024-02-29'],
    ['2024-02-29T23:59:59.999+05:00', '2024-02-29'],
    [1_709_164_800_000, '2024-02-29'],
    [1_709_164_800_000_000, '2024-02-29'],
    [-1, '1969-12-31'],
    ['9999-12-31', '9999-12-31'],
    ['  ', null],
    [null, null],
  ])('contract start %p is %p', (given, date) => {
    const after = { id: 1, name: 'Ann', contract_start: given };
    expect(changeOf(decodeWritten({ value: envelope({ after }) })).image.contractStart).toBe(date);
  });

  test('key and row must name the same record; the row alone is enough', () => {
    const value = envelope({ after: { id: 1, name: 'Ann' } });
    expect(decodeWritten({ key: { id: 2 }, value })).toMatchObject({ kind: 'reject', code: 'key_mismatch' });
    expect(changeOf(decodeWritten({ value })).sourceId).toBe('1');
    expect(decodeWritten({ value: envelope({ op: 'd' }) })).toMatchObject({ kind: 'reject', code: 'missing_id' });
  });

  test('a flattened row without any added field is ordered by its own update time', () => {
    const value = { id: 1, name: 'Ann', updated_at: baseMs - 1000 };
    expect(changeOf(decodeWritten({ key: { id: 1 }, value }))).toMatchObject({
      op: 'UPDATE',
      version: { ts: micros(baseMs - 1000), seq: 0 },
    });
    expect(changeOf(decodeWritten({ value: { id: 1, name: 'Ann' } })).version.ts).toBe(micros(baseMs));
    expect(changeOf(decodeWritten({ value: { id: 1, name: 'Ann' }, headers: { __op: 'c' } })).op).toBe('CREATE');
  });

  test('a changed primary key deletes the old record too, with the same sequence number', () => {
    const after = { id: 100, name: 'Bob' };
    const headers = { '__debezium.oldkey': '{"schema":{},"payload":{"id":2}}' };
    const result = decodeWritten({ key: { id: 100 }, value: envelope({ op: 'c', after }), headers });
    expect(changesOf(result)).toMatchObject([
      { op: 'DELETE', sourceId: '2', version: { seq: 7 } },
      { op: 'CREATE', sourceId: '100', version: { seq: 7 } },
    ]);
    const broken = { '__debezium.oldkey': '{"id":' };
    expect(changesOf(decodeWritten({ value: envelope({ op: 'c', after }), headers: broken }))).toHaveLength(1);
  });

  test('a sequence number beyond 2^53 would be rounded, so it is refused', () => {
    const value = envelope({ after: { id: 1, name: 'A' }, source: { ...source, lsn: 2 ** 60 } });
    expect(decodeWritten({ value })).toMatchObject({ kind: 'reject', code: 'invalid_field' });
  });
});

describe('F-02: what else a regular expression routes into the change topics is counted and skipped, never merged', () => {
  test.each([
    ['a heartbeat', { key: { serverName: 'sysa' }, value: { ts_ms: baseMs } }, 'heartbeat'],
    ['a heartbeat with schema', { value: { schema: {}, payload: { ts_ms: 1, ts_us: 2, ts_ns: 3 } } }, 'heartbeat'],
    ['a transaction', { key: { id: '571' }, value: { status: 'BEGIN', id: '571:1', ts_ms: 1 } }, 'transaction'],
    ['its end', { value: { status: 'END', id: '571:1', event_count: 2, data_collections: [] } }, 'transaction'],
    [
      'a schema change',
      { value: { source, databaseName: 'crm', ddl: 'ALTER TABLE', tableChanges: [] } },
      'schema_change',
    ],
    ['a logical message', { value: { op: 'm', source, message: { prefix: 'p', content: 'eA==' } } }, 'logical_message'],
    [
      'a row of the signal table',
      { value: envelope({ op: 'c', after: { id: 's', type: 'x' }, source: { table: 'debezium_signal' } }) },
      'signal',
    ],
    [
      'a row of another table',
      { value: envelope({ op: 'c', after: { id: 1, name: 'x' }, source: { table: 'orders' } }) },
      'foreign_table',
    ],
    ['nothing at all', {}, 'empty'],
  ])('%s', (_name, record, reason) => {
    expect(decodeWritten(record)).toEqual({ kind: 'skip', reason });
  });

  test('the tables that hold customers can be named', () => {
    const value = envelope({ after: { id: 1, name: 'x' }, source: { ...source, table: 'persons' } });
    expect(decodeWritten({ value })).toEqual({ kind: 'skip', reason: 'foreign_table' });
    expect(decodeWritten({ value }, { tables: /^persons$/ }).kind).toBe('ok');
  });

  test.each([
    ['an order', { id: 1, total: '3.00' }],
    ['an HTTP error body', { error: 'Service Unavailable', statusCode: 503 }],
    ['an empty object', {}],
    ['a list', [1]],
    ['a number', 5],
    ['text', '"hello"'],
  ])('%s is refused', (_name, value) => {
    expect(decodeWritten({ value })).toMatchObject({ kind: 'reject', code: 'unknown_shape' });
  });
});

describe('tombstones', () => {
  test.each([
    ['a struct', { id: 7 }],
    ['a struct with schema', { schema: { type: 'struct' }, payload: { id: 7 } }],
    ['a number', 7],
    ['text', '"7"'],
    ['bare text', '7'],
  ])('name their record by a key that is %s', (_name, key) => {
    expect(changesOf(decodeWritten({ key }))).toEqual([
      { op: 'TOMBSTONE', source: 'system_a', sourceId: '7', ingestedAt: micros(baseMs) },
    ]);
  });

  test('a tombstone by e-mail names no source record and is refused', () => {
    expect(decodeWritten({ key: 'ann@x.test' })).toMatchObject({ kind: 'reject', code: 'tombstone_without_id' });
    expect(decodeWritten({ key: {} })).toMatchObject({ kind: 'reject', code: 'tombstone_without_id' });
  });

  test('a null payload beside a schema is a tombstone', () => {
    expect(changesOf(decodeWritten({ key: { id: 7 }, value: { schema: null, payload: null } }))[0]?.op).toBe(
      'TOMBSTONE',
    );
  });
});

describe('clocks', () => {
  const ahead = (ms: number): ReturnType<typeof decodeWritten> =>
    decodeWritten({
      value: pollerEvent({ id: 1, lastUpdated: new Date(baseMs + ms).toISOString(), fields: { name: 'A' } }),
    });

  test('a source up to five minutes ahead of the log is believed, then it is held back and reported', () => {
    expect(ahead(300_000)).toMatchObject({ kind: 'ok', isClockSkewed: false });
    expect(changeOf(ahead(300_000)).version.ts).toBe(micros(baseMs + 300_000));
    expect(ahead(300_001)).toMatchObject({ kind: 'ok', isClockSkewed: true });
    expect(changeOf(ahead(86_400_000 * 365)).version.ts).toBe(micros(baseMs + 300_000));
    expect(changeOf(ahead(86_400_000)).updatedAt).toBe(micros(baseMs + 300_000));
  });

  test('the bound is an option; Debezium envelopes are held back as well', () => {
    const value = envelope({ after: { id: 1, name: 'A' }, source: { ...source, ts_us: micros(baseMs + 2000) } });
    expect(decodeWritten({ value }, { maxSkewMs: 1000 })).toMatchObject({
      isClockSkewed: true,
      changes: [{ version: { ts: micros(baseMs + 1000) } }],
    });
  });
});

describe('changes in canonical form', () => {
  const change = {
    eventId: 'e1',
    source: 'system_a',
    sourceId: '1',
    op: 'UPDATE',
    version: { ts: 5, seq: 0, tie: '' },
    email: 'Ann@X.test',
    image: { name: 'Ann' },
    present: ['name', 'email'],
    ingestedAt: 6,
  };

  test('are taken as they are, but for the address, which is made canonical, and the clock', () => {
    expect(changesOf(decodeWritten({ value: change }))).toEqual([{ ...change, email: 'ann@x.test' }]);
    expect(decodeWritten({ value: { ...change, version: { ts: 9e15 } } })).toMatchObject({ isClockSkewed: true });
  });

  test.each([
    ['another system', { ...change, source: 'system_b' }, 'wrong_source'],
    ['an unknown field', { ...change, present: ['balance'] }, 'invalid_change'],
    ['a version that is none', { ...change, version: { ts: -1 } }, 'invalid_change'],
    ['a blank id', { ...change, sourceId: ' ' }, 'invalid_change'],
    ['a number as name', { ...change, image: { name: 1 } }, 'invalid_change'],
  ])('are refused with %s', (_name, value, code) => {
    expect(decodeWritten({ value })).toMatchObject({ kind: 'reject', code });
  });
});

describe('hostile input', () => {
  const utf8 = (bytes: readonly number[]): ReturnType<typeof decodeChange> =>
    decodeChange({ source: 'system_a', key: undefined, value: Buffer.from(bytes), headers: [], timestampMs: 0 });

  test('bytes that are not UTF-8, not JSON or nested 100,000 deep are refused', () => {
    expect(utf8([0x7b, 0xff, 0x7d])).toMatchObject({ kind: 'reject', code: 'invalid_utf8' });
    expect(decodeWritten({ value: '{"id":1,' })).toMatchObject({ kind: 'reject', code: 'invalid_json' });
    expect(decodeWritten({ value: '' })).toMatchObject({ kind: 'reject', code: 'invalid_json' });
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    expect(decodeWritten({ value: deep }).kind).toBe('reject');
    expect(decodeWritten({ key: deep, value: `{"operation":"UPDATE","payload":{"id":1,"name":${deep}}}` }).kind).toBe(
      'reject',
    );
    const nested = `{"a":${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}}`;
    expect(decodeWritten({ value: `{"schema":${nested},"payload":${nested}}` }).kind).toBe('reject');
  });

  test('__proto__ and its like are data: nothing is inherited from them and nothing is polluted', () => {
    const inherited = '{"__proto__":{"id":1,"name":"Eve","op":"c"},"operation":"UPDATE"}';
    expect(decodeWritten({ value: inherited })).toMatchObject({ kind: 'reject', code: 'missing_row' });
    const row = '{"operation":"UPDATE","timestamp":1,"payload":{"__proto__":{"polluted":true,"id":9},"name":"A"}}';
    expect(decodeWritten({ value: row })).toMatchObject({ kind: 'reject', code: 'missing_id' });
    const named = pollerEvent({ id: '__proto__', fields: { name: 'constructor', email: 'toString@x.test' } });
    expect(changeOf(decodeWritten({ value: named }))).toMatchObject({
      sourceId: '__proto__',
      image: { name: 'constructor' },
    });
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  test('ids that could not be keys are refused', () => {
    for (const id of ['', ' ', 'x'.repeat(201), 'a\u0000b', 1.5, true, null, {}, [1]])
      expect(decodeWritten({ value: { operation: 'UPDATE', timestamp: 1, payload: { id, name: 'A' } } }).kind).toBe(
        'reject',
      );
    expect(
      decodeWritten({ value: '{"operation":"UPDATE","timestamp":1,"payload":{"id":"\\ud800","name":"A"}}' }).kind,
    ).toBe('reject');
  });

  const hostileKey = fc.constantFrom(
    'id',
    'uuid',
    'name',
    'email',
    'op',
    'operation',
    'payload',
    'before',
    'after',
    'source',
    'schema',
    'version',
    'image',
    'present',
    'ts_ms',
    'ts_us',
    'lsn',
    'table',
    'status',
    'timestamp',
    'lastUpdated',
    'contract_start',
    'phone',
    '__deleted',
    '__op',
    'fields',
    'field',
    'parameters',
    'scale',
    'value',
    'sourceId',
    'eventId',
    'ingestedAt',
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
  );
  const leaf = fc.oneof(
    fc.constantFrom(
      'c',
      'd',
      'u',
      'r',
      't',
      'UPDATE',
      'DELETE',
      'CREATE',
      'system_a',
      'true',
      'a@b.c',
      '__debezium_unavailable_value',
      '',
    ),
    fc.string(),
    fc.double(),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.bigInt(),
    fc.constant(1e308),
    fc.constant(baseMs),
  );
  const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
    tree: fc.oneof(
      { depthSize: 'medium', withCrossShrink: true },
      leaf,
      fc.array(tie('tree'), { maxLength: 4 }),
      fc
        .array(fc.tuple(hostileKey, tie('tree')), { maxLength: 8 })
        .map((entries) => Object.fromEntries(entries) as unknown),
    ),
  }));

  test('wrong types everywhere neither throw nor pollute, and what is accepted is well formed', () => {
    fc.assert(
      fc.property(tree, tree, fc.constantFrom('system_a' as const, 'system_b' as const), (key, value, system) => {
        const result = decodeParsed({ source: system, key, value, headers: [], timestampMs: baseMs });
        if (result.kind === 'ok')
          for (const change of result.changes) {
            expect(change.sourceId.length).toBeGreaterThan(0);
            expect(Number.isSafeInteger(change.ingestedAt)).toBe(true);
            if (change.op !== 'TOMBSTONE')
              expect(Number.isSafeInteger(change.version.ts) && change.version.ts >= 0).toBe(true);
          }
        expect(Object.keys(Object.prototype)).toEqual([]);
      }),
      { numRuns: 5000 },
    );
  });

  test('a known form with one part replaced by anything neither throws nor pollutes', () => {
    const forms = [
      envelope({ after: { id: 1, name: 'A', email: 'a@x.test', contract_start: 1, updated_at: 5 } }),
      pollerEvent({ id: 1, fields: { name: 'A', email: 'a@x.test' } }),
      { id: 1, name: 'A', __deleted: 'false', __op: 'u', __source_lsn: 5, __source_ts_ms: 9 },
      {
        schema: { fields: [{ field: 'after', fields: [{ field: 'id', name: 'x' }] }] },
        payload: envelope({ after: { id: 1 } }),
      },
    ].map((form) => JSON.stringify(form));
    fc.assert(
      fc.property(fc.constantFrom(...forms), fc.nat(), tree, (form, position, replacement) => {
        const paths: (() => void)[] = [];
        const copy = JSON.parse(form) as object;
        const walk = (node: object): void => {
          for (const name of Object.keys(node)) {
            paths.push(() => Object.defineProperty(node, name, { value: replacement, enumerable: true }));
            const child = (node as Record<string, unknown>)[name];
            if (typeof child === 'object' && child !== null) walk(child);
          }
        };
        walk(copy);
        paths[position % paths.length]?.();
        decodeParsed({ source: 'system_a', key: undefined, value: copy, headers: [], timestampMs: baseMs });
        expect(Object.keys(Object.prototype)).toEqual([]);
      }),
      { numRuns: 5000 },
    );
  });

  test('random bytes never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.uint8Array({ maxLength: 20 }), (value, key) => {
        decodeChange({ source: 'system_b', key, value, headers: [{ key: '__op', value: key }], timestampMs: -1 });
      }),
    );
  });
});
