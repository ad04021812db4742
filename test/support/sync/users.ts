/** Users of two applications, at work on both databases at the same time. */
import type pg from 'pg';
import { seededRandom } from '../../../connectors/app/seeded-random.ts';
import { entities, sides, type EntityName, type Side } from '../../../schemas/app/sync/entities.ts';
import type { SyncedDatabases } from './two-databases.ts';

export interface Users {
  /** So many changes on each side, both at once. */
  act(count: number): Promise<void>;
  /** Writes every row anew as it is. */
  touchAll(side: Side): Promise<void>;
  /** Rows that were changed, so far. */
  readonly changeCount: number;
}

export interface UsersOptions {
  readonly seed: number;
  /** Whether an application that changes a row says in `source` that it did. */
  readonly resetsFlag: boolean;
}

/** Accounts that come and go; they write no posts. */
const passing = 'guest';

export function createUsers({ clients }: SyncedDatabases, { seed, resetsFlag }: UsersOptions): Users {
  let changeCount = 0;
  const flag = resetsFlag ? ', source = DEFAULT' : '';
  const work = { legacy: seededRandom(seed), revamp: seededRandom(seed + 1) };

  const run = async (side: Side, text: string, values: readonly unknown[]): Promise<void> => {
    const query = (): Promise<pg.QueryResult> => clients[side].query(text, [...values]);
    // As any application does whose statement was chosen to give way.
    const { rowCount } = await query().catch((error: unknown) => {
      if ((error as { code?: unknown }).code === '40P01') return query();
      throw error;
    });
    changeCount += rowCount ?? 0;
  };

  const actOnce = async (side: Side): Promise<void> => {
    const random = work[side];
    const drawn = Math.floor(random() * 10);
    const value = `${side} ${String(Math.floor(random() * 1_000))}`;
    const { table, column } = named(side);
    const any = (entity: EntityName): string =>
      `(SELECT id FROM ${table(entity)} ORDER BY md5(id::text || '${value}') LIMIT 1)`;
    const users = { name: column('user', 'username'), email: column('user', 'email') };
    const posts = { title: column('post', 'title'), text: column('post', 'content'), author: column('post', 'author') };
    const author = `(SELECT id FROM ${table('user')} WHERE ${users.name} NOT LIKE '${passing}%' ORDER BY random() LIMIT 1)`;
    const update = (entity: EntityName, change: string): string =>
      `UPDATE ${table(entity)} SET ${change}${flag} WHERE id = ${any(entity)}`;
    const deeds: readonly (readonly [text: string, values: readonly unknown[]])[] = [
      [`INSERT INTO ${table('user')} (${users.name}, ${users.email}) VALUES ($1, $1)`, [value]],
      [`INSERT INTO ${table('user')} (${users.name}, ${users.email}) VALUES ($1, NULL)`, [`${passing} ${value}`]],
      [
        `INSERT INTO ${table('post')} (${posts.title}, ${posts.text}, ${posts.author}) VALUES ($1, $1, ${author})`,
        [value],
      ],
      [update('user', `${users.email} = $1`), [value]],
      [`UPDATE ${table('user')} SET ${users.name} = $1${flag} WHERE id = ${author}`, [value]],
      [update('post', `${posts.title} = $1`), [value]],
      [update('post', `${posts.text} = $1, ${posts.title} = $1`), [value]],
      [update('post', `${posts.author} = ${author}`), []],
      [`DELETE FROM ${table('post')} WHERE id = ${any('post')}`, []],
      [
        `DELETE FROM ${table('user')} WHERE id = (SELECT id FROM ${table('user')} WHERE ${users.name} LIKE '${passing}%' LIMIT 1)`,
        [],
      ],
    ];
    const [text = '', values = []] = deeds[drawn] ?? [];
    await run(side, text, values);
  };

  return {
    act: async (count) => {
      await Promise.all(
        sides.map(async (side) => {
          for (let done = 0; done < count; done += 1) await actOnce(side);
        }),
      );
    },
    touchAll: async (side) => {
      for (const { tables } of Object.values(entities))
        await clients[side].query(`UPDATE ${tables[side]} SET source = source`);
    },
    get changeCount() {
      return changeCount;
    },
  };
}

function named(side: Side): {
  readonly table: (entity: EntityName) => string;
  readonly column: (entity: EntityName, field: string) => string;
} {
  return {
    table: (entity) => entities[entity].tables[side],
    column: (entity, field) => entities[entity].fields.find(({ name }) => name === field)?.columns[side] ?? '',
  };
}

/** Ids of either side that stand in several mappings, and rows without one, over both databases. */
export async function mappingFaults(clients: SyncedDatabases['clients']): Promise<readonly string[]> {
  const faults: string[] = [];
  const mappings = (await Promise.all(sides.map((side) => mappingsIn(clients[side])))).flat();
  for (const side of sides) {
    const ids = mappings.map((mapping) => `${mapping.entity_type} ${mapping[`${side}_id`]}`);
    faults.push(...ids.filter((id, index) => ids.indexOf(id) !== index));
    for (const { name, tables } of Object.values(entities)) {
      const { rows } = await clients[side].query<{ id: string }>(`SELECT id::text FROM ${tables[side]}`);
      faults.push(...rows.map(({ id }) => `${name} ${id}`).filter((id) => !ids.includes(id)));
    }
  }
  return faults;
}

interface MappingRow {
  readonly entity_type: string;
  readonly legacy_id: string;
  readonly revamp_id: string;
}

async function mappingsIn(client: pg.Client): Promise<readonly MappingRow[]> {
  return (await client.query<MappingRow>('SELECT entity_type, legacy_id, revamp_id FROM entity_mappings')).rows;
}
