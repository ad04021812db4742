import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../../clock.ts';
import type { EdgeValue } from '../../../../schemas/app/record-format.ts';
import { createAvroSerdes } from '../../../../schemas/avro/avro-serde.ts';
import type { SourceSystem } from '../../../../schemas/app/customer/fields.ts';
import type { DecodeResult } from '../../../../processors/app/customer/change-input.ts';
import { decodeChange, decodeParsed } from '../../../../processors/app/customer/decode.ts';
import { IdentityFold } from '../../../support/customer/fold.ts';
import { changesOf, parsedSample, rawSample, sample } from '../../../support/customer/records.ts';

/** A decoded record in one line: operation, reference, version, then what the row says. */
function line(result: DecodeResult): string {
  if (result.kind === 'skip') return `skip ${result.reason}`;
  if (result.kind === 'reject') return `reject ${result.code}`;
  return result.changes
    .map((change) => {
      const ref = `${change.source === 'system_a' ? 'a' : 'b'}:${change.sourceId}`;
      if (change.op === 'TOMBSTONE') return `TOMBSTONE ${ref}`;
      const { op, version, email, image, updatedAt, tombstoneFollows } = change;
      const at = `${version.ts}.${version.seq}`;
      if (op === 'DELETE') return `DELETE ${ref} ${at}${tombstoneFollows === true ? ' tombstone-follows' : ''}`;
      return `${op} ${ref} ${at} ${email ?? '-'} ${image.name ?? '-'} ${updatedAt ?? '-'}`;
    })
    .join(' + ');
}

const lines = (name: string, source: SourceSystem): readonly string[] =>
  sample(name).map((record) =>
    line(
      record.topic.startsWith('customer.') && name.includes('avro')
        ? decodeParsed(parsedSample(record, source))
        : decodeChange(rawSample(record, source)),
    ),
  );

describe('captured Debezium records', () => {
  test('envelopes without schemas: snapshot, changes, a changed primary key, a deletion whose image is invented', () => {
    expect(lines('debezium-json-schemaless', 'system_a')).toEqual([
      'SNAPSHOT a:1 1795245870258325.26551696 ann@example.test Ann 1767323045678000',
      'SNAPSHOT a:2 1795245870258325.26551696 - Bob 1767323045000000',
      'CREATE a:3 1795245874119032.26551736 cid@example.test Cid 1795245874115000',
      'UPDATE a:1 1795245874128759.26551976 ann@example.test Ann 1767323045678000',
      'DELETE a:2 1795245874134662.26552240 tombstone-follows',
      'TOMBSTONE a:2',
      'DELETE a:2 1795245874134662.26552240 + CREATE a:100 1795245874134662.26552240 - Bob 1767323045000000',
      'CREATE a:4 1795245874178999.26552488 - T1 1795245874135000',
      'CREATE a:5 1795245874178999.26552656 - T2 1795245874135000',
      'DELETE a:1 1795245874279959.26553088 tombstone-follows',
      'TOMBSTONE a:1',
    ]);
  });

  test('envelopes with schemas: keys with a table identifier, full images before, transaction records beside them', () => {
    expect(lines('debezium-json-with-schemas', 'system_b')).toEqual([
      'SNAPSHOT b:1 1795245933609505.26558672 - Full One -',
      'SNAPSHOT b:2 1795245933609505.26558672 - - -',
      'CREATE b:3 1795245943543519.26562096 - Full Three -',
      'UPDATE b:3 1795245943545987.26562288 - Full Three -',
      'DELETE b:3 1795245943546456.26562456 tombstone-follows',
      'TOMBSTONE b:3',
      ...Array.from({ length: 6 }, () => 'skip transaction'),
    ]);
  });

  test('times as ISO text, nulls kept, and a truncation, which is refused', () => {
    expect(lines('debezium-json-nullsafe', 'system_a')).toEqual([
      'SNAPSHOT a:3 1795246035725211.26564856 cid@example.test Cid 1795245874115000',
      'SNAPSHOT a:100 1795246035725211.26564856 - Bob 1767323045000000',
      'SNAPSHOT a:4 1795246035725211.26564856 - T1 1795245874135000',
      'SNAPSHOT a:5 1795246035725211.26564856 - T2 1795245874135000',
      'CREATE a:8 1795246042270276.26564896 - Eve 1795246042269000',
      'DELETE a:8 1795246042272137.26565112 tombstone-follows',
      'TOMBSTONE a:8',
      'reject truncate',
    ]);
  });

  test('flattened rows: the rewritten deletion counts by its key alone', () => {
    expect(lines('debezium-flattened-unwrap', 'system_a')).toEqual([
      'SNAPSHOT a:3 1795245936232000.26562000 cid@example.test Cid 1795245874115000',
      'SNAPSHOT a:100 1795245936232000.26562000 - Bob 1767323045000000',
      'SNAPSHOT a:4 1795245936232000.26562000 - T1 1795245874135000',
      'SNAPSHOT a:5 1795245936232000.26562000 - T2 1795245874135000',
      'CREATE a:7 1795245943549000.26562592 dee@example.test Dee 1795245943548000',
      'UPDATE a:7 1795245943550000.26562832 dee@example.test Dee 1795245943548000',
      'DELETE a:7 1795245943550000.26563048 tombstone-follows',
      'TOMBSTONE a:7',
    ]);
  });

  test('what an Avro serde has parsed, with bigints beyond 2^53', () => {
    expect(lines('debezium-avro-confluent-wire', 'system_a')).toEqual([
      'SNAPSHOT a:3 1795245935691392.26560336 cid@example.test Cid 1795245874115000',
      'SNAPSHOT a:100 1795245935691392.26560336 - Bob 1767323045000000',
      'SNAPSHOT a:4 1795245935691392.26560336 - T1 1795245874135000',
      'SNAPSHOT a:5 1795245935691392.26560336 - T2 1795245874135000',
      'CREATE a:7 1795245943549087.26562592 dee@example.test Dee 1795245943548000',
      'UPDATE a:7 1795245943550387.26562832 dee@example.test Dee 1795245943548000',
      'DELETE a:7 1795245943550926.26563048 tombstone-follows',
      'TOMBSTONE a:7',
    ]);
  });

  test('Avro as it lies in the topic, read by the schemas of its writer: what the parsed sample says', async () => {
    const file = new URL('../../../fixtures/debezium/debezium-avro-confluent-wire.json', import.meta.url);
    const { writerSchemas } = JSON.parse(readFileSync(fileURLToPath(file), 'utf8')) as {
      readonly writerSchemas: Readonly<Record<string, object>>;
    };
    const schemaOf = (id: number): Promise<string> => Promise.resolve(JSON.stringify(writerSchemas[id]));
    const { foreign } = createAvroSerdes({ register: () => Promise.resolve(1), schemaOf }, systemClock);
    const found: string[] = [];
    for (const record of sample('debezium-avro-confluent-wire')) {
      const hex = record as unknown as { readonly keyHex: string; readonly valueHex?: string | null };
      const read = async (text: string): Promise<EdgeValue> => {
        const bytes = Buffer.from(text, 'hex');
        await foreign.prepare?.([bytes]);
        return foreign.deserialize(bytes);
      };
      const value = typeof hex.valueHex === 'string' ? await read(hex.valueHex) : undefined;
      found.push(line(decodeChange({ ...rawSample(record, 'system_a'), key: await read(hex.keyHex), value })));
    }
    expect(found).toEqual(lines('debezium-avro-confluent-wire', 'system_a'));
  });

  test('raw Avro bytes are refused as such, not as bad JSON, where no registry is set', () => {
    for (const record of sample('debezium-avro-confluent-wire')) {
      const { valueHex } = record as unknown as { valueHex?: string | null };
      if (valueHex === undefined || valueHex === null) continue;
      const raw = { ...rawSample(record, 'system_a'), value: Buffer.from(valueHex, 'hex') };
      expect(line(decodeChange(raw))).toBe('reject unsupported_encoding');
    }
  });

  test('every sample ends where its database ended', () => {
    const identity = new IdentityFold();
    for (const record of sample('debezium-json-schemaless'))
      for (const change of changesOf(decodeChange(rawSample(record, 'system_a')))) identity.apply(change);
    const living = [...identity.records.values()].filter(({ deleted }) => !deleted);
    expect(living.map(({ ref, image }) => `${ref} ${image.name ?? ''}`)).toEqual([
      'a:3 Cid',
      'a:100 Bob',
      'a:4 T1',
      'a:5 T2',
    ]);
    // The creation under the new key repeats the deletion of the old one, and both tombstones follow deletions.
    expect(identity.results.filter(({ outcome }) => outcome === 'duplicate')).toHaveLength(3);
  });
});
