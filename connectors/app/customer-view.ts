/** `unified_customers`: `customer.merged` as a table, one row for each e-mail. */
import { sinkTable, stringSerde } from '../../index.ts';
import type { Migration, SinkTable, Statement } from '../../index.ts';
import { isoFromMicros } from '../../schemas/app/customer/instant.ts';
import type { CustomerMerged } from '../../schemas/app/customer/merged.ts';
import type { CustomerTopics } from '../../schemas/app/customer/topics.ts';

export const customerViewMigrations: readonly Migration[] = [
  {
    name: 'customer-view-001',
    statements: [
      'CREATE EXTENSION IF NOT EXISTS pg_trgm',
      `CREATE TABLE unified_customers (
        email text COLLATE "C" PRIMARY KEY,
        name text COLLATE "und-x-icu" NOT NULL DEFAULT '',
        address text,
        phone text,
        contract_start date,
        contract_type text,
        system_a_id text,
        system_b_uuid text,
        sources text[] NOT NULL DEFAULT '{}',
        is_partial boolean NOT NULL DEFAULT false,
        conflicts jsonb NOT NULL DEFAULT '{}',
        field_metadata jsonb NOT NULL DEFAULT '{}',
        version bigint NOT NULL DEFAULT 1,
        last_merged_at timestamptz NOT NULL DEFAULT now(),
        system_a_updated timestamptz,
        system_b_updated timestamptz,
        created_at timestamptz NOT NULL DEFAULT now()
      )`,
      'CREATE INDEX idx_unified_name ON unified_customers USING gin (name gin_trgm_ops)',
      'CREATE INDEX idx_unified_sources ON unified_customers USING gin (sources)',
      'CREATE INDEX idx_unified_last_merged ON unified_customers (last_merged_at)',
    ],
  },
];

/** Columns beside the key, with their types. */
const columns = {
  name: 'text',
  address: 'text',
  phone: 'text',
  contract_start: 'date',
  contract_type: 'text',
  system_a_id: 'text',
  system_b_uuid: 'text',
  sources: 'text[]',
  is_partial: 'boolean',
  conflicts: 'jsonb',
  field_metadata: 'jsonb',
  version: 'bigint',
  last_merged_at: 'timestamptz',
  system_a_updated: 'timestamptz',
  system_b_updated: 'timestamptz',
  created_at: 'timestamptz',
} as const;

const names = Object.keys(columns);
const definitions = Object.entries({ email: 'text', ...columns })
  .map(([name, type]) => `${name} ${type}`)
  .join(', ');

/** A record of an older version changes nothing, however often or late it comes. */
const upsert = `INSERT INTO unified_customers AS present (email, ${names.join(', ')})
  SELECT email, ${names.join(', ')} FROM jsonb_to_recordset($1::jsonb) AS given(${definitions})
  ON CONFLICT (email) DO UPDATE SET ${names.map((name) => `${name} = excluded.${name}`).join(', ')}
  WHERE excluded.version > present.version`;

interface CustomerChange {
  readonly email: string;
  /** `undefined`: nobody knows the customer any more. */
  readonly customer: CustomerMerged | undefined;
}

export function customerView(topic: CustomerTopics['merged']): SinkTable {
  return sinkTable<CustomerChange>({
    topic: topic.name,
    prepare: async (values) => topic.value.prepare?.(values),
    decode: ({ key, value }) =>
      key === undefined
        ? undefined
        : {
            email: stringSerde.deserialize(key),
            customer: value === undefined ? undefined : topic.value.deserialize(value),
          },
    statements,
  });
}

/** What becomes of each e-mail in the end; at most one statement of each kind. */
function statements(changes: readonly CustomerChange[]): readonly Statement[] {
  const latest = new Map(changes.map(({ email, customer }) => [email, customer]));
  const gone: string[] = [];
  const rows: object[] = [];
  for (const [email, customer] of latest)
    if (customer === undefined) gone.push(email);
    else rows.push(rowOf(customer));
  const removal = { text: 'DELETE FROM unified_customers WHERE email = ANY($1)', values: [gone] };
  return [
    ...(gone.length > 0 ? [removal] : []),
    ...(rows.length > 0 ? [{ text: upsert, values: [JSON.stringify(rows)] }] : []),
  ];
}

const instant = (micros: number | undefined): string | null => (micros === undefined ? null : isoFromMicros(micros));

function rowOf(customer: CustomerMerged): object {
  return {
    email: customer.email,
    name: customer.name ?? '',
    address: customer.address ?? null,
    phone: customer.phone ?? null,
    contract_start: customer.contractStart ?? null,
    contract_type: customer.contractType ?? null,
    system_a_id: customer.systemAId ?? null,
    system_b_uuid: customer.systemBUuid ?? null,
    sources: customer.sources,
    is_partial: customer.isPartial,
    conflicts: customer.conflicts,
    field_metadata: customer.fieldMetadata,
    version: customer.version,
    last_merged_at: instant(customer.lastMergedAt),
    system_a_updated: instant(customer.systemAUpdated),
    system_b_updated: instant(customer.systemBUpdated),
    created_at: instant(customer.createdAt),
  };
}
