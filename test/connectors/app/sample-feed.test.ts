import { describe, expect, test } from '@jest/globals';
import { capturedRecords, sampleFeed, type FeedRecord } from '../../../connectors/app/sample-feed.ts';
import { decodeChange } from '../../../processors/app/customer/decode.ts';
import { canonicalJson } from '../../../schemas/serde.ts';
import { foldAll } from '../../support/customer/fold.ts';
import { referenceFold } from '../../support/customer/reference-fold.ts';

const start = 1_767_225_600_000;

/** A small generator of our own: the feed must depend on nothing else. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function take(count: number, seed = 7): readonly FeedRecord[] {
  let now = start;
  const feed = sampleFeed({ random: numbers(seed), nowMs: () => (now += 250), customers: 40 });
  return Array.from({ length: count }, () => feed.next().value);
}

const changesOf = (records: readonly FeedRecord[]) =>
  records.flatMap((record) => {
    const result = decodeChange(record);
    return result.kind === 'ok' ? result.changes : [];
  });

describe('the sample feed', () => {
  test('is the same for the same numbers and times, and another for others', () => {
    expect(take(300)).toEqual(take(300));
    expect(take(300, 8)).not.toEqual(take(300));
  });

  test('only holds records that decode, none with a skewed clock', () => {
    for (const record of take(2000)) expect(decodeChange(record)).toMatchObject({ kind: 'ok', isClockSkewed: false });
  });

  test('shows everything the merge is for, and the merge of it equals the reference fold', () => {
    const changes = [...changesOf(capturedRecords(start)), ...changesOf(take(2000))];
    const { identity, merge } = foldAll(changes);
    const seen = new Set(identity.results.flatMap(({ outcome, effect }) => [outcome, effect ?? outcome]));
    for (const kind of ['created', 'updated', 'deleted', 'recreated', 'duplicate', 'stale'])
      expect(seen).toContain(kind);
    const customers = [...merge.latest().values()].filter((customer) => customer !== null);
    expect(customers.some(({ isPartial }) => isPartial)).toBe(true);
    expect(customers.some(({ isPartial }) => !isPartial)).toBe(true);
    expect(customers.some(({ conflicts }) => Object.keys(conflicts).length > 0)).toBe(true);
    expect([...merge.latest().values()]).toContain(null);
    expect(merge.events.some((event) => event.type === 'resolved')).toBe(true);
    for (const [email, { json }] of referenceFold(changes)) {
      const customer = merge.latest().get(email) ?? null;
      expect(customer === null ? null : canonicalJson(customer)).toBe(json);
    }
  });

  test('meets the captured records in system A by their addresses', () => {
    const { merge } = foldAll([...changesOf(capturedRecords(start)), ...changesOf(take(60))]);
    expect(merge.latest().get('cid@example.test')).toMatchObject({ systemAId: '3', isPartial: false });
  });
});

describe('the captured records', () => {
  test('end at the given time, keep their distances, and are what they were', () => {
    const records = capturedRecords(start);
    expect(records.at(-1)?.timestampMs).toBe(start);
    expect(records.map((record) => decodeChange(record).kind)).toEqual([
      ...['ok', 'ok', 'skip', 'ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'ok'],
      'reject',
    ]);
    for (const record of records) {
      const result = decodeChange(record);
      if (result.kind === 'ok') expect(result.isClockSkewed).toBe(false);
    }
  });
});
