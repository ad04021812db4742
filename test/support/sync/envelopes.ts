/** Changes as Debezium tells them, in the two forms that the topics are read in. */
import type { Header } from '../../../schemas/record.ts';
import { entities, type EntityName, type Side } from '../../../schemas/app/sync/entities.ts';

export interface ToldChange {
  readonly side: Side;
  readonly entity: EntityName;
  readonly op: 'r' | 'c' | 'u' | 'd';
  readonly lsn: number;
  /** By column; `id` among them. */
  readonly row: Readonly<Record<string, unknown>>;
  readonly headers?: readonly Header[];
}

export interface ToldRecord {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly headers: readonly Header[];
}

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

export function toldRecord({ side, entity, op, lsn, row, headers = [] }: ToldChange): ToldRecord {
  const source = { connector: 'postgresql', name: side, table: entities[entity].tables[side], lsn, ts_us: lsn * 1_000 };
  const images = op === 'd' ? { before: { id: row['id'] }, after: null } : { before: null, after: row };
  return { key: json({ id: row['id'] }), value: json({ ...images, source, op, ts_ms: lsn }), headers };
}
