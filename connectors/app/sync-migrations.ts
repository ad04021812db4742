/** What the two-way sync needs in the databases that it keeps in sync, beside their own tables. */
import type { Migration } from '../../index.ts';
import { entities, stampColumns, type Side } from '../../schemas/app/sync/entities.ts';

/** Events that were dealt with are remembered for longer than any of them can come again. */
const inboxDays = 30;

const { source, mapId, eventId, version, updatedAt } = stampColumns;
const ownColumns = [
  `${source} text`,
  `${mapId} text`,
  `${eventId} varchar(36)`,
  `${version} bigint NOT NULL DEFAULT 0`,
  `${updatedAt} timestamptz NOT NULL DEFAULT now()`,
].map((column) => `ADD COLUMN IF NOT EXISTS ${column}`);

/** Publication of a side's tables: of all their rows, since the flag in a row says who wrote it last, not who wrote this change. */
export const publicationOf = (side: Side): string => `${side}_sync_publication`;

/** To be applied one by one: whoever holds two of the tables at once may meet an application that holds them in the other order. */
export function syncMigrations(side: Side): readonly Migration[] {
  const tables = Object.values(entities).map((entity) => entity.tables[side]);
  return [
    {
      name: 'legacy-sync-001',
      statements: [
        `CREATE TABLE entity_mappings (
          id bigserial PRIMARY KEY,
          entity_type text NOT NULL,
          legacy_id text NOT NULL,
          revamp_id text NOT NULL,
          created_at timestamptz NOT NULL DEFAULT now(),
          UNIQUE (entity_type, legacy_id),
          UNIQUE (entity_type, revamp_id)
        )`,
        `CREATE TABLE processed_events (
          event_id varchar(36) PRIMARY KEY,
          outcome text,
          row_id text,
          row_version bigint,
          sql_state text,
          processed_at timestamptz NOT NULL DEFAULT now()
        )`,
      ],
    },
    ...tables.map((table) => ({
      name: `legacy-sync-002-${table}`,
      statements: [`ALTER TABLE ${table} ${ownColumns.join(', ')}`],
    })),
    {
      name: 'legacy-sync-003',
      statements: [
        `CREATE PUBLICATION ${publicationOf(side)} FOR TABLE ${tables.join(', ')} WITH (publish = 'insert, update, delete')`,
      ],
    },
  ];
}

/** Run when a writer starts. */
export const forgetEvents = {
  text: `DELETE FROM processed_events WHERE processed_at < now() - interval '${String(inboxDays)} days'`,
  values: [],
};
