import { describe, expect, test } from '@jest/globals';
import { decodeImage } from '../../../../processors/app/sync/decode.ts';
import { rawSample, sample } from '../../../support/customer/records.ts';
import { toldRecord } from '../../../support/sync/envelopes.ts';

/** Captured records of another table, as if they were of ours. */
function captured(name: string): readonly string[] {
  return sample(name).flatMap((record) => {
    const { key, value, headers, timestampMs } = rawSample(record, 'system_a');
    const ours = (bytes: Uint8Array): Uint8Array =>
      Buffer.from(
        Buffer.from(bytes)
          .toString()
          .replace(/"table":"\w+"/, '"table":"legacy_users"'),
      );
    const renamed = value instanceof Uint8Array ? ours(value) : null;
    const image = decodeImage({ side: 'legacy', key: key ?? null, value: renamed, headers, timestampMs });
    if (image === undefined) return [];
    const { kind, id, values, position, clock } = image;
    return [`${kind} ${id} ${JSON.stringify(values)} at ${String(position)}, ${String(clock)}`];
  });
}

describe('changes for the two-way sync', () => {
  test('are read from captured envelopes: rows found, changes, a changed key, deletions; tombstones say nothing new', () => {
    expect(captured('debezium-json-schemaless')).toEqual([
      'snapshot 1 {"email":"ann@example.test"} at 26551696, 1767323045678000',
      'snapshot 2 {"email":null} at 26551696, 1767323045000000',
      'change 3 {"email":"cid@example.test"} at 26551736, 1795245874119032',
      'change 1 {"email":"ann@example.test"} at 26551976, 1795245874128759',
      'deletion 2 {} at 26552240, 1795245874134662',
      'change 100 {"email":null} at 26552240, 1795245874134662',
      'change 4 {"email":null} at 26552488, 1795245874178999',
      'change 5 {"email":null} at 26552656, 1795245874178999',
      'deletion 1 {} at 26553088, 1795245874279959',
    ]);
  });

  test('with schemas beside them are read alike, and what is no row of a table is passed over', () => {
    const kinds = captured('debezium-json-with-schemas').map((line) => line.split(' ')[0]);
    expect(kinds.length).toBeGreaterThan(3);
    expect(new Set(kinds)).toEqual(new Set(['snapshot', 'change', 'deletion']));
  });

  test('of MySQL are ordered by file, position and row', () => {
    const { key, value } = toldRecord({
      side: 'revamp',
      entity: 'user',
      op: 'u',
      lsn: 1,
      row: { id: 1, user_name: 'a' },
    });
    const binlog = Buffer.from(
      Buffer.from(value).toString().replace('"lsn":1,', '"file":"mysql-bin.000012","pos":345,"row":2,'),
    );
    const image = decodeImage({ side: 'revamp', key, value: binlog, headers: [], timestampMs: 1_000 });
    expect(image?.position).toEqual([12, 345, 2]);
  });

  test('leave out what was not sent, know our stamps again, and hold back a clock that is ahead', () => {
    const row = {
      id: 7,
      title: 'a',
      content: '__debezium_unavailable_value',
      author_id: 9,
      sync_version: 4,
      sync_event_id: 'e',
      sync_map_id: 'post:legacy:1',
    };
    const { key, value } = toldRecord({ side: 'revamp', entity: 'post', op: 'u', lsn: 1_000_000, row });
    expect(decodeImage({ side: 'revamp', key, value, headers: [], timestampMs: 5 })).toMatchObject({
      values: { title: 'a', author: '9' },
      stamp: { version: 4, eventId: 'e', mapId: 'post:legacy:1' },
      clock: 300_005_000,
    });
  });
});
