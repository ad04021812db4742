/** From a table of system A to merged customers in the topic, the API and the view, whatever carries the changes over. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { systemRandom } from '../../clock.ts';
import type { Log } from '../../connectors/log.ts';
import { customerTopics, type CustomerTopics } from '../../schemas/app/customer/topics.ts';
import type { Topic } from '../../schemas/topic.ts';
import { readAll, until } from '../support/cluster.ts';
import { MergedPlaces, type Shown } from '../support/customer/merged-places.ts';
import { SystemADatabase, insertA } from '../support/customer/system-a-database.ts';
import { startPostgres, type RunningPostgres } from '../support/postgres.ts';
import { isThrough } from '../support/progress.ts';
import { rawBytesOf } from '../support/raw-read.ts';

export interface CaptureTarget {
  readonly log: Log;
  readonly systemA: SystemADatabase;
  /** Where changes go. */
  readonly topic: string;
  /** Unique to the test. */
  readonly name: string;
}

export interface Capture {
  /** Stops, and starts again as if nothing of what came after the snapshot had been delivered. */
  replay(): Promise<void>;
  stop(): Promise<void>;
}

export interface CaptureUnderTest {
  readonly openLog: () => Log;
  readonly start: (target: CaptureTarget) => Promise<Capture>;
}

/** A connector starts in seconds on an idle machine. */
const waitMs = 120_000;

export function changeCaptureContract(name: string, { openLog, start }: CaptureUnderTest): void {
  describe(`change capture contract: ${name}`, () => {
    let postgres: RunningPostgres;
    let systemA: SystemADatabase;
    let log: Log;

    beforeAll(async () => {
      postgres = await startPostgres();
      systemA = await SystemADatabase.create(postgres);
      log = openLog();
    }, 300_000);
    afterAll(async () => {
      await systemA.close();
      await postgres.stop();
      await log.close();
    });

    test('rows that are there, inserted, updated, deleted and re-keyed are merged customers; delivered again they change nothing', async () => {
      const prefix = `cdc-${systemRandom.uuid().slice(0, 8)}.`;
      const topics = customerTopics(prefix);
      await log.admin.createTopics(
        Object.values<Topic<unknown, unknown>>({ ...topics }).map(({ name: topic, create }) => ({
          name: topic,
          partitions: 1,
          ...create,
        })),
      );
      await systemA.run(insertA(1, 'Ann@x.test', 'Ann'), insertA(2, 'bob@x.test', 'Bob'));

      const target = { log, systemA, topic: topics.changesA.name, name: prefix.slice(0, -1) };
      const capture = await start(target);
      const viewUrl = await postgres.createDatabase('unified');
      const places = new MergedPlaces({ log, prefix, viewUrl });
      await places.start();
      try {
        await followed(places);
        await replayed(places, { topics, prefix, capture });
      } finally {
        await places.close();
        await capture.stop();
      }
      expect(await readAll(log, topics.dlq)).toEqual([]);
    }, 600_000);

    /** Waits until there are these customers, and no others, everywhere. */
    async function become(places: MergedPlaces, what: string, expected: Shown): Promise<void> {
      await until(what, () => places.show(expected), waitMs);
    }

    async function followed(places: MergedPlaces): Promise<void> {
      await become(places, 'the snapshot', { 'ann@x.test': 'Ann 1', 'bob@x.test': 'Bob 2' });
      const { 'ann@x.test': ann } = await places.merged();
      expect(ann).toMatchObject({ systemAId: '1', address: 'Elm 1', contractStart: '2026-02-03', isPartial: true });
      expect(ann?.contractType).toBeUndefined();

      await systemA.run(insertA(3, 'cid@x.test', 'Cid'));
      await become(places, 'an insertion', { 'ann@x.test': 'Ann 1', 'bob@x.test': 'Bob 2', 'cid@x.test': 'Cid 3' });
      await systemA.run(`UPDATE public.customers_a SET name = 'Bea' WHERE id = 2`);
      await become(places, 'an update', { 'ann@x.test': 'Ann 1', 'bob@x.test': 'Bea 2', 'cid@x.test': 'Cid 3' });
      await systemA.run(`DELETE FROM public.customers_a WHERE id = 2`);
      await become(places, 'a deletion', { 'ann@x.test': 'Ann 1', 'cid@x.test': 'Cid 3' });
      await systemA.run(`UPDATE public.customers_a SET id = 30 WHERE id = 3`);
      await become(places, 'a new key', { 'ann@x.test': 'Ann 1', 'cid@x.test': 'Cid 30' });
      await systemA.run('BEGIN', insertA(9, 'no@x.test', 'Nobody'), 'ROLLBACK');
      await systemA.run(`UPDATE public.customers_a SET email = 'ann@y.test' WHERE id = 1`);
      await become(places, 'another address', { 'ann@y.test': 'Ann 1', 'cid@x.test': 'Cid 30' });
    }

    async function replayed(
      places: MergedPlaces,
      {
        topics,
        prefix,
        capture,
      }: { readonly topics: CustomerTopics; readonly prefix: string; readonly capture: Capture },
    ): Promise<void> {
      const changes = async (): Promise<number> =>
        (await rawBytesOf(log, topics.changesA.name, { isolation: 'read_committed' })).length;
      const outcome = async (): Promise<readonly unknown[]> =>
        [...(await readAll(log, topics.merged))].sort((a, b) => a.partition - b.partition || a.offset - b.offset);
      const [delivered, results] = [await changes(), await outcome()];
      await capture.replay();
      // Insertion, update, deletion with its tombstone, new key as three, another address.
      await until('all is delivered again', async () => (await changes()) >= delivered + 8, waitMs);
      const internal = ['by-source', 'by-email'].map((step) => `${prefix}customer-merge-${step}-repartition`);
      const passed = { topics: [topics.changesA.name, ...internal], outputs: [topics.merged.name] };
      await until('it is through', () => isThrough(log, `${prefix}customer-merge`, passed), waitMs);
      expect(await outcome()).toEqual(results);
      await systemA.run(insertA(4, 'dan@x.test', 'Dan'));
      await become(places, 'what comes after', {
        'ann@y.test': 'Ann 1',
        'cid@x.test': 'Cid 30',
        'dan@x.test': 'Dan 4',
      });
    }
  });
}
