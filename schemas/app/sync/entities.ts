/** What is kept in sync: entities, the tables and columns they have on each side, and how rows are named. */

export const sides = ['legacy', 'revamp'] as const;
export type Side = (typeof sides)[number];

export const entityNames = ['user', 'post'] as const;
export type EntityName = (typeof entityNames)[number];

/** One field of an entity, under the name it has on each side. */
export interface FieldMapping {
  readonly name: string;
  readonly columns: Readonly<Record<Side, string>>;
  /** The value is the id of a row of this entity, on the side where it stands. */
  readonly refersTo?: EntityName;
}

export interface Entity {
  readonly name: EntityName;
  readonly tables: Readonly<Record<Side, string>>;
  readonly fields: readonly FieldMapping[];
}

const field = (name: string, legacy: string, revamp: string): FieldMapping => ({ name, columns: { legacy, revamp } });

/** The one table both directions are mapped by. Columns it does not name are left to the side that has them, and to their defaults. */
export const entities: Readonly<Record<EntityName, Entity>> = {
  user: {
    name: 'user',
    tables: { legacy: 'legacy_users', revamp: 'revamp_users' },
    fields: [field('username', 'username', 'user_name'), field('email', 'email', 'email_address')],
  },
  post: {
    name: 'post',
    tables: { legacy: 'legacy_posts', revamp: 'revamp_posts' },
    fields: [
      field('title', 'post_title', 'title'),
      field('content', 'post_content', 'content'),
      { ...field('author', 'user_id', 'author_id'), refersTo: 'user' },
    ],
  },
};

/** What our own writes say of themselves in the row, on both sides. */
export const stampColumns = {
  source: 'source',
  mapId: 'sync_map_id',
  eventId: 'sync_event_id',
  version: 'sync_version',
  updatedAt: 'updated_at',
} as const;

/** What `source` is in a row that was last written by us. */
export const syncSource = 'sync_service';

export function otherSide(side: Side): Side {
  return side === 'legacy' ? 'revamp' : 'legacy';
}

/** A row of one side. */
export interface RowRef {
  readonly entity: EntityName;
  readonly side: Side;
  /** As text, whatever its type. */
  readonly id: string;
}

/** Longest id of a row, in UTF-16 code units. */
export const rowIdLengthMax = 100;

/** `user:legacy:17`: the name of a row, and of the pair that was born as this row. */
export function formatRef({ entity, side, id }: RowRef): string {
  return `${entity}:${side}:${id}`;
}

/** `undefined` unless the text names a row. */
export function parseRef(text: string): RowRef | undefined {
  const [entityText, sideText, ...rest] = text.split(':');
  const entity = entityNames.find((name) => name === entityText);
  const side = sides.find((name) => name === sideText);
  const id = rest.join(':');
  if (entity === undefined || side === undefined || id === '' || id.length > rowIdLengthMax) return undefined;
  return { entity, side, id };
}

/** The entity of a table, if it is one of this side's. */
export function entityOfTable(side: Side, table: string): Entity | undefined {
  return Object.values(entities).find(({ tables }) => tables[side] === table);
}
