import { describe, expect, test } from '@jest/globals';
import type { SourceChange } from '../../../../schemas/app/customer/change.ts';
import { foldAll } from '../../../support/customer/fold.ts';
import { baseMs, changeOf, changesOf, decodeWritten, polled, pollerEvent } from '../../../support/customer/records.ts';

const email = 'ann@x.test';
const later = (seconds: number): string => new Date(baseMs + seconds * 1000).toISOString();

describe('faults of a faithful port', () => {
  test('F-01: a change keyed {"id":7} merges with what the other system says under the e-mail', () => {
    const value = {
      before: null,
      after: { id: 7, name: 'Ann', email: 'Ann@X.test' },
      source: { ts_ms: baseMs, lsn: 1, table: 'customers_a' },
      op: 'c',
    };
    const a = changeOf(decodeWritten({ key: { id: 7 }, value }));
    const b = changeOf(
      decodeWritten({
        source: 'system_b',
        key: email,
        value: pollerEvent({ source: 'system_b', id: 'u1', fields: { email, phone: '1' } }),
      }),
    );
    const { merge } = foldAll([a, b]);
    expect([...merge.latest().keys()]).toEqual([email]);
    expect(merge.latest().get(email)).toMatchObject({ systemAId: '7', systemBUuid: 'u1', isPartial: false });
  });

  test('F-02: heartbeats, transactions and schema changes in the change topic leave no customer', () => {
    const noise = [
      { ts_ms: 1 },
      { status: 'BEGIN', id: '5', ts_ms: 1 },
      { ddl: 'CREATE TABLE t', databaseName: 'crm' },
      { id: 5, kind: 'x' },
    ];
    for (const value of noise) expect(decodeWritten({ key: { id: 5 }, value }).kind).not.toBe('ok');
  });

  test('F-03: a poll that gives the same change a new id each time has no second effect', () => {
    const poll = (eventId: string): SourceChange => polled({ id: 1, eventId, fields: { email, name: 'Ann' } });
    const { identity, merge } = foldAll([poll('uuid-1'), poll('uuid-2'), poll('uuid-3')]);
    expect(identity.results.map(({ outcome }) => outcome)).toEqual(['applied', 'duplicate', 'duplicate']);
    expect(merge.latest().get(email)?.version).toBe(1);
  });

  test('F-06: creation, update, deletion and return are told apart though a poller always says UPDATE', () => {
    const { identity } = foldAll([
      polled({ id: 1, fields: { email, name: 'Ann' } }),
      polled({ id: 1, lastUpdated: later(1), fields: { email, name: 'Anne' } }),
      polled({ id: 1, operation: 'DELETE', lastUpdated: later(2) }),
      polled({ id: 1, lastUpdated: later(3), fields: { email, name: 'Ann' } }),
    ]);
    expect(identity.results.map(({ effect }) => effect)).toEqual(['created', 'updated', 'deleted', 'recreated']);
  });

  test('F-06: a deletion found by comparing key sets carries the time it was found, so it is later than the last update', () => {
    const value = { ...pollerEvent({ id: 1, operation: 'DELETE', fields: { email } }), timestamp: later(600) };
    const { merge } = foldAll([
      polled({ id: 1, fields: { email, name: 'Ann' } }),
      changeOf(decodeWritten({ value, timestampMs: baseMs + 600_000 })),
    ]);
    expect(merge.latest().get(email)).toBeNull();
  });

  test('F-07: whatever an upstream answers while it is down, no customer is deleted or made partial', () => {
    const both = [
      polled({ id: 1, fields: { email, name: 'Ann' } }),
      polled({ source: 'system_b', id: 'u1', fields: { email, name: 'Ann' } }),
    ];
    const answers = [
      null,
      { status: 'rejected', reason: 'ECONNREFUSED' },
      { statusCode: 503, error: 'Service Unavailable' },
      { operation: 'UPDATE', timestamp: later(9), payload: null },
      { operation: 'UPDATE', timestamp: later(9), source: 'system_a', payload: {} },
      { operation: 'UPDATE', timestamp: later(9), payload: { id: 1 } },
      [],
    ];
    const outage = answers.flatMap((value) => {
      const result = decodeWritten({ key: email, value });
      return result.kind === 'ok' ? result.changes : [];
    });
    const { merge } = foldAll([...both, ...outage]);
    expect(merge.latest().get(email)).toMatchObject({ isPartial: false, version: 2 });
    expect(merge.published.get(email)).not.toContain(null);
  });

  test('F-08: when the last contribution goes, a tombstone is published, once', () => {
    const { merge } = foldAll([
      polled({ id: 1, fields: { email, name: 'Ann' } }),
      polled({ source: 'system_b', id: 'u1', fields: { email, name: 'Ann' } }),
      polled({ id: 1, operation: 'DELETE', lastUpdated: later(1) }),
      polled({ source: 'system_b', id: 'u1', operation: 'DELETE', lastUpdated: later(1) }),
      ...changesOf(decodeWritten({ key: { id: 1 } })),
    ]);
    const values = merge.published.get(email) ?? [];
    expect(values.map((value) => value?.sources ?? null)).toEqual([
      ['system_a'],
      ['system_a', 'system_b'],
      ['system_b'],
      null,
    ]);
    expect(merge.states.get(email)?.version).toBe(4);
  });
});
