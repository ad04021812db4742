import { describe, expect, test } from '@jest/globals';
import {
  claimStatement,
  deleteStatement,
  insertStatement,
  mapStatement,
  mappedStatement,
  noteStatement,
  updateStatement,
  upsertStatement,
  versionStatement,
} from '../../../connectors/app/sync-statements.ts';
import type { SyncCommand } from '../../../schemas/app/sync/command.ts';

const toLegacy: SyncCommand = {
  eventId: 'e-1',
  mapId: 'post:revamp:5',
  entity: 'post',
  side: 'legacy',
  operation: 'insert',
  version: 3,
  otherId: '5',
  values: { title: 't', author: null },
};
const toRevamp: SyncCommand = {
  ...toLegacy,
  mapId: 'user:legacy:9',
  entity: 'user',
  side: 'revamp',
  values: { email: 'e' },
};
const stamps = ['sync_service', 'e-1', 3];

describe('statements of the two-way sync', () => {
  test('insert what is known, with our stamps, and learn the id', () => {
    expect(insertStatement(toLegacy, 'postgresql')).toEqual({
      text:
        'INSERT INTO legacy_posts (post_title, user_id, source, sync_event_id, sync_version, sync_map_id, updated_at) ' +
        'OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4, $5, $6, now()) RETURNING id',
      values: ['t', null, ...stamps, 'post:revamp:5'],
    });
    expect(insertStatement(toRevamp, 'mysql')).toEqual({
      text:
        'INSERT INTO revamp_users (email_address, source, sync_event_id, sync_version, sync_map_id, updated_at) ' +
        'VALUES (?, ?, ?, ?, ?, now(6))',
      values: ['e', ...stamps, 'user:legacy:9'],
    });
  });

  test('under an id that is known, overwrite what is older, the flag included', () => {
    expect(upsertStatement(toLegacy, '7', 'postgresql')).toEqual({
      text:
        'INSERT INTO legacy_posts (id, post_title, user_id, source, sync_event_id, sync_version, sync_map_id, updated_at) ' +
        'OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4, $5, $6, $7, now()) ON CONFLICT (id) DO UPDATE SET ' +
        'post_title = excluded.post_title, user_id = excluded.user_id, source = excluded.source, ' +
        'sync_event_id = excluded.sync_event_id, sync_version = excluded.sync_version, updated_at = excluded.updated_at ' +
        'WHERE coalesce(legacy_posts.sync_version, 0) < excluded.sync_version RETURNING id',
      values: ['7', 't', null, ...stamps, 'post:revamp:5'],
    });
  });

  test('in MySQL compare with the version before it is overwritten: it is assigned last', () => {
    const { text } = upsertStatement(toRevamp, '7', 'mysql');
    const assigned = [
      ...text.matchAll(/(\w+) = if\(coalesce\(revamp_users\.sync_version, 0\) < given\.sync_version, given\.\1/g),
    ];
    expect(text).toContain(' AS given ON DUPLICATE KEY UPDATE ');
    expect(assigned.map(([, name]) => name)).toEqual([
      'email_address',
      'source',
      'sync_event_id',
      'updated_at',
      'sync_version',
    ]);
  });

  test('change and delete only what is older', () => {
    expect(updateStatement({ ...toLegacy, operation: 'update' }, '7', 'postgresql')).toEqual({
      text:
        'UPDATE legacy_posts SET post_title = $1, user_id = $2, source = $3, sync_event_id = $4, sync_version = $5, ' +
        'updated_at = now() WHERE id = $6 AND coalesce(sync_version, 0) < $7',
      values: ['t', null, ...stamps, '7', 3],
    });
    expect(deleteStatement({ ...toRevamp, operation: 'delete' }, '7', 'mysql')).toEqual({
      text: 'DELETE FROM revamp_users WHERE id = ? AND coalesce(sync_version, 0) < ?',
      values: ['7', 3],
    });
    expect(versionStatement(toRevamp, '7', 'mysql').text).toBe(
      'SELECT coalesce(sync_version, 0) AS version FROM revamp_users WHERE id = ?',
    );
  });

  test('know the rows that belong together, whichever side is asked', () => {
    expect(mappedStatement(toLegacy, 'postgresql')).toEqual({
      text: 'SELECT legacy_id AS id FROM entity_mappings WHERE entity_type = $1 AND revamp_id = $2',
      values: ['post', '5'],
    });
    expect(mapStatement(toRevamp, '101', 'mysql')).toEqual({
      text: 'INSERT INTO entity_mappings (entity_type, revamp_id, legacy_id) VALUES (?, ?, ?)',
      values: ['user', '101', '5'],
    });
  });

  test('claim an event once, and note what became of it', () => {
    expect(claimStatement(toLegacy, 'postgresql').text).toBe(
      'INSERT INTO processed_events (event_id) VALUES ($1) ON CONFLICT (event_id) DO NOTHING',
    );
    expect(claimStatement(toLegacy, 'mysql').text).toBe('INSERT IGNORE INTO processed_events (event_id) VALUES (?)');
    expect(noteStatement(toLegacy, { outcome: 'stale', version: 4 }, 'postgresql')).toEqual({
      text: 'UPDATE processed_events SET outcome = $1, row_id = $2, row_version = $3, sql_state = $4 WHERE event_id = $5',
      values: ['stale', null, 4, null, 'e-1'],
    });
  });
});
