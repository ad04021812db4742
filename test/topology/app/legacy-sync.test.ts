import { beforeEach, describe, expect, test } from '@jest/globals';
import { createSyncCounts, type SyncCounts } from '../../../processors/app/sync/counts.ts';
import { patienceMs } from '../../../processors/app/sync/processors.ts';
import { jsonFormat } from '../../../schemas/app/record-format.ts';
import type { SyncCommand } from '../../../schemas/app/sync/command.ts';
import { syncTopics } from '../../../schemas/app/sync/topics.ts';
import { legacySync } from '../../../topology/app/legacy-sync.ts';
import { TestDriver } from '../../../topology/runtime/driver.ts';
import { registeredAvro } from '../../support/avro.ts';
import { toldRecord, type ToldChange } from '../../support/sync/envelopes.ts';

const formats = { JSON: jsonFormat, Avro: await registeredAvro() };

describe.each(Object.entries(formats))('the two-way sync in %s', (_, format) => {
  const topics = syncTopics('', format);
  let driver: TestDriver;
  let counts: SyncCounts;
  let lsn = 0;

  beforeEach(() => {
    counts = createSyncCounts();
    driver = new TestDriver(legacySync('', format, counts), { partitions: 3, wallClockMs: 1_000 });
  });

  function tell(change: Omit<ToldChange, 'lsn'> & { readonly lsn?: number }): void {
    const { key, value, headers } = toldRecord({ lsn: (lsn += 1), ...change });
    const topic = change.side === 'legacy' ? topics.legacyEvents : topics.revampEvents;
    driver.pipeBytes(topic.name, key, value, { headers });
  }

  const commands = (): readonly SyncCommand[] =>
    driver.read(topics.commands).flatMap(({ value }) => (value === null ? [] : [value]));

  function command(): SyncCommand {
    const [only, ...others] = commands();
    if (only === undefined || others.length > 0)
      throw new Error(`${String(others.length + 1)} commands instead of one`);
    return only;
  }

  /** The writer did it, and the capture tells of the row, with the flag that we leave in it. */
  function done(sent: SyncCommand, id: string, row: Readonly<Record<string, unknown>>): void {
    const { eventId, mapId, side, entity, operation, version } = sent;
    driver.pipe(topics.results, mapId, { eventId, mapId, side, outcome: 'written', id });
    const mark = operation === 'insert' ? { sync_map_id: mapId } : {};
    const stamp = { source: 'sync_service', sync_event_id: eventId, sync_version: version, ...mark };
    tell({ side, entity, op: operation === 'insert' ? 'c' : 'u', row: { id: Number(id), ...row, ...stamp } });
  }

  const ann = { username: 'ann', email: 'ann@x.test' };

  /** A user who has a row on both sides: 1 and 101. */
  function synced(): SyncCommand {
    tell({ side: 'legacy', entity: 'user', op: 'c', row: { id: 1, ...ann, source: 'legacy' } });
    const sent = command();
    done(sent, '101', { user_name: 'ann', email_address: 'ann@x.test' });
    return sent;
  }

  const letters = (): readonly string[] =>
    driver
      .read(topics.dlq)
      .map(({ headers }) =>
        Buffer.from(headers.find(({ key }) => key === '__streams.errors.message')?.value ?? []).toString(),
      );

  test('what is no mapping is passed over, whatever time it claims', () => {
    for (const timestampMs of [5, -1])
      driver.pipeBytes(topics.mappings.name, Buffer.from('?'), Buffer.from([0xff]), { timestampMs });
    synced();
    expect(driver.read(topics.mappings).map(({ value }) => value?.revampId)).toEqual(['101']);
  });

  test('a row of one side becomes a row of the other, and our own write ends there', () => {
    expect(synced()).toMatchObject({
      mapId: 'user:legacy:1',
      side: 'revamp',
      operation: 'insert',
      otherId: '1',
      values: { username: 'ann', email: 'ann@x.test' },
    });
    expect(driver.read(topics.mappings).map(({ key, value }) => [key, value])).toEqual([
      ['user:legacy:1', { mapId: 'user:legacy:1', entity: 'user', legacyId: '1', revampId: '101' }],
    ]);
    expect(commands()).toEqual([]);
    expect(counts.echoes).toBe(1);
  });

  test('its change that comes back before the result is known is no row of its own', () => {
    tell({ side: 'legacy', entity: 'user', op: 'c', row: { id: 1, ...ann } });
    const sent = command();
    const { eventId, mapId, side } = sent;
    const stamp = { sync_event_id: eventId, sync_version: sent.version, sync_map_id: mapId };
    tell({ side, entity: 'user', op: 'c', row: { id: 101, user_name: 'ann', email_address: 'ann@x.test', ...stamp } });
    driver.pipe(topics.results, mapId, { eventId, mapId, side, outcome: 'written', id: '101' });

    expect(commands()).toEqual([]);
    expect(counts.echoes).toBe(1);
  });

  test('a change of the copy travels though its flag still says that it was ours', () => {
    const { eventId } = synced();
    const row = { id: 101, user_name: 'anne', email_address: 'ann@x.test', sync_event_id: eventId, sync_version: 1 };
    tell({ side: 'revamp', entity: 'user', op: 'u', row: { ...row, source: 'sync_service' } });

    expect(command()).toMatchObject({ side: 'legacy', operation: 'update', id: '1', values: { username: 'anne' } });
  });

  test('a deletion is a deletion there, and only its result and its echo follow', () => {
    synced();
    tell({ side: 'legacy', entity: 'user', op: 'd', row: { id: 1 } });
    const sent = command();
    expect(sent).toMatchObject({ side: 'revamp', operation: 'delete', id: '101', values: {} });
    tell({ side: 'revamp', entity: 'user', op: 'd', row: { id: 101 } });
    const { eventId, mapId, side } = sent;
    driver.pipe(topics.results, mapId, { eventId, mapId, side, outcome: 'written', id: '101' });

    expect(commands()).toEqual([]);
  });

  test('told again, a change has no second effect', () => {
    synced();
    tell({ side: 'legacy', entity: 'user', op: 'c', lsn: 1, row: { id: 1, ...ann } });

    expect(commands()).toEqual([]);
  });

  test('changes that did not know of each other: of one field the later stays, and the other is in the conflicts', () => {
    synced();
    tell({ side: 'legacy', entity: 'user', op: 'u', row: { id: 1, ...ann, email: 'left@x.test' } });
    expect(command()).toMatchObject({ side: 'revamp', values: { email: 'left@x.test' } });
    const row = { id: 101, user_name: 'anne', email_address: 'right@x.test' };
    tell({ side: 'revamp', entity: 'user', op: 'u', row });

    expect(command()).toMatchObject({ side: 'legacy', values: { username: 'anne', email: 'right@x.test' } });
    expect(driver.read(topics.conflicts).map(({ value }) => value)).toMatchObject([
      { kind: 'field', field: 'email', winner: { value: 'right@x.test' }, loser: { value: 'left@x.test' } },
    ]);
    expect(counts.conflicts).toBe(1);
  });

  test('a post waits for the counterpart of its author, and has it then', () => {
    const post = { id: 7, post_title: 'hello', post_content: 'world', user_id: 1 };
    tell({ side: 'legacy', entity: 'post', op: 'c', row: post });
    expect(commands()).toEqual([]);
    synced();
    driver.advanceWallClock(400);

    expect(command()).toMatchObject({
      operation: 'insert',
      values: { title: 'hello', content: 'world', author: '101' },
    });
    driver.advanceWallClock(patienceMs * 2);
    expect(letters()).toEqual([]);
  });

  test('who waits for too long is a dead letter, and goes on when what was missing is there', () => {
    tell({ side: 'legacy', entity: 'post', op: 'c', row: { id: 7, post_title: 'a', post_content: 'b', user_id: 1 } });
    for (let waitedMs = 0; waitedMs <= patienceMs + 60_000; waitedMs += 10_000) driver.advanceWallClock(10_000);
    expect(letters()).toEqual(['post:legacy:7 cannot be kept in sync: a row it refers to has no counterpart']);

    synced();
    const replay = { headers: [{ key: 'rivulet.dlq.replay-of', value: Buffer.from('x') }] };
    driver.pipe(topics.signals, 'post:legacy:7', { kind: 'expired' }, replay);
    expect(command()).toMatchObject({ entity: 'post', operation: 'insert', values: { author: '101' } });
  });

  test('a write that is refused is tried again, under another name, and then is a dead letter', () => {
    tell({ side: 'legacy', entity: 'user', op: 'c', row: { id: 1, ...ann } });
    const events = new Set<string>();
    for (let waitedMs = 0; waitedMs <= patienceMs + 60_000; waitedMs += 10_000) {
      for (const { eventId, mapId, side } of commands()) {
        events.add(eventId);
        driver.pipe(topics.results, mapId, { eventId, mapId, side, outcome: 'refused', sqlState: '23505' });
      }
      driver.advanceWallClock(10_000);
    }
    expect(events.size).toBeGreaterThan(5);
    expect(letters()).toEqual(['user:legacy:1 cannot be kept in sync: the database refuses it']);

    tell({ side: 'legacy', entity: 'user', op: 'u', row: { id: 1, ...ann, username: 'ann2' } });
    expect(command()).toMatchObject({ operation: 'insert', values: { username: 'ann2' } });
  });

  test('a copy of a row, with our columns in it, is a row of its own', () => {
    const { mapId, eventId } = synced();
    const stamp = { sync_map_id: mapId, sync_event_id: eventId, sync_version: 1 };
    tell({ side: 'revamp', entity: 'user', op: 'c', row: { id: 102, user_name: 'ann', email_address: 'b', ...stamp } });

    expect(command()).toMatchObject({ mapId: 'user:revamp:102', side: 'legacy', operation: 'insert', otherId: '102' });
  });

  test('a copy that is told of before the row it was made from takes nothing from it', () => {
    tell({ side: 'legacy', entity: 'user', op: 'c', row: { id: 1, ...ann } });
    const sent = command();
    const { eventId, mapId, side, version } = sent;
    const marks = { sync_map_id: mapId, sync_event_id: eventId, sync_version: version };
    tell({ side, entity: 'user', op: 'c', row: { id: 102, user_name: 'copy', email_address: 'c', ...marks } });
    expect(commands()).toEqual([]);
    done(sent, '101', { user_name: 'ann', email_address: 'ann@x.test' });

    expect(command()).toMatchObject({ mapId: 'user:revamp:102', side: 'legacy', values: { username: 'copy' } });
    expect(driver.read(topics.mappings).map(({ value }) => value?.revampId)).toEqual(['101']);
  });

  test('what has been through a sync service, or is no change, is put aside; what is not ours is passed over', () => {
    const hop = [{ key: 'hop', value: Buffer.from('1') }];
    tell({ side: 'legacy', entity: 'user', op: 'c', row: { id: 1, ...ann }, headers: hop });
    tell({ side: 'legacy', entity: 'user', op: 'c', row: { id: null, ...ann } });
    driver.pipeBytes(topics.legacyEvents.name, undefined, Buffer.from('{"id":1}'));
    driver.pipeBytes(topics.legacyEvents.name, undefined, Buffer.from('no JSON'));
    driver.pipeBytes(topics.legacyEvents.name, undefined, Buffer.from('{"ts_ms":5}'));
    // A table of the other side.
    const { key, value } = toldRecord({ side: 'revamp', entity: 'user', op: 'c', lsn: 9, row: { id: 5 } });
    driver.pipeBytes(topics.legacyEvents.name, key, value);

    expect(letters()).toHaveLength(4);
    expect(commands()).toEqual([]);
  });
});
