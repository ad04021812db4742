/** All rows of a publication as change events once more, beside the capture that follows their changes. */
import type { Clock } from '../../clock.ts';
import type { BackfillItem, BackfillPage, BackfillSource } from '../backfill-source.ts';
import { recordsOf, type ChangeSource } from './envelope.ts';
import type { Relation, TextRow } from './pgoutput.ts';
import type { PostgresCaptureOptions } from './postgres-capture.ts';
import { captureClient } from './replication-stream.ts';
import { exportSnapshot, readSnapshot, tableName, type RowPosition } from './table-snapshot.ts';

export interface CaptureBackfillOptions extends Pick<
  PostgresCaptureOptions,
  'name' | 'connectionString' | 'publication' | 'slot' | 'topic'
> {
  readonly clock: Clock;
  /** What the merge calls the record with this key. */
  readonly refOf: (key: readonly string[]) => string;
}

/**
 * Each run reads as of one moment of the database's log, and its events carry that moment: what the capture tells of later changes is newer, and what it told
 * before is older, so none of both can be undone. A run that goes on where another one ended reads as of a later moment, which is as good.
 */
export function captureBackfill(options: CaptureBackfillOptions): BackfillSource {
  const { name, topic } = options;
  return { name, topic, pages: (cursor, { signal }) => pages(options, cursor, signal) };
}

async function* pages(
  options: CaptureBackfillOptions,
  cursor: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<BackfillPage> {
  const { connectionString, publication, slot, name } = options;
  const after = cursor === undefined ? 'nothing' : (JSON.parse(cursor) as RowPosition);
  const client = captureClient(connectionString, 'database');
  await client.connect();
  try {
    const { lsn, snapshot } = await exportSnapshot(client, `${slot}_backfill`);
    const database = new URL(connectionString).pathname.slice(1);
    for await (const { relation, rows, atMicros } of readSnapshot({ connectionString, publication, snapshot, after })) {
      if (signal.aborted) return;
      const source = { name, database, transactionId: 0, lsn, commitMicros: atMicros, isSnapshot: true };
      const items = rows.flatMap((row) => itemsOf(relation, row, { ...options, source }));
      const position: RowPosition = { table: tableName(relation), key: keyOf(relation, rows.at(-1) ?? []) };
      yield { items, cursor: JSON.stringify(position) };
    }
    yield { items: [], cursor: undefined };
  } finally {
    await client.end();
  }
}

function itemsOf(
  relation: Relation,
  row: TextRow,
  { topic, clock, refOf, source }: CaptureBackfillOptions & { readonly source: ChangeSource },
): readonly BackfillItem[] {
  const ref = refOf(keyOf(relation, row));
  return recordsOf(relation, { op: 'r', after: row }, source).map((record) => ({
    ref,
    record: { topic, timestampMs: clock.nowMs(), ...record },
  }));
}

const keyOf = ({ columns }: Relation, row: TextRow): readonly string[] =>
  row.filter((_, index) => columns[index]?.isKey === true).map((value) => value ?? '');
