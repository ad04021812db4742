/** Two databases, their applications and everything between them and the pairs, as queues that a drawn schedule empties. */
import { seededRandom } from '../../../connectors/app/seeded-random.ts';
import { takeImage, takeResult, wake, type Advance } from '../../../processors/app/sync/pair.ts';
import type { SyncCommand, SyncResult } from '../../../schemas/app/sync/command.ts';
import {
  entities,
  formatRef,
  parseRef,
  type EntityName,
  type RowRef,
  type Side,
} from '../../../schemas/app/sync/entities.ts';
import type { EntityMapping, SyncConflict } from '../../../schemas/app/sync/mapping.ts';
import type { Pair } from '../../../schemas/app/sync/pair.ts';
import type { RowImage, Stamp, Values } from '../../../schemas/app/sync/values.ts';

/** What an application does to what we leave in its rows when it changes one. */
export type AppModel = 'keeps the flag' | 'resets the flag' | 'writes an old stamp back';

export interface ModelOptions {
  readonly seed: number;
  readonly apps: Readonly<Record<Side, AppModel>>;
  /** Of the database: what it makes of a text that is written. */
  readonly trigger?: Readonly<Partial<Record<Side, (value: string) => string>>>;
  /** How far the clock of a side is off, microseconds. */
  readonly skew?: Readonly<Partial<Record<Side, number>>>;
}

interface ModelRow {
  values: Values;
  stamp: Stamp;
  source: string;
}

interface ModelDatabase {
  readonly rows: Map<string, ModelRow>;
  readonly inbox: Map<string, SyncResult>;
  readonly mappings: Map<string, string>;
  /** Everything that was ever changed, in order. */
  readonly log: RowImage[];
  nextId: number;
}

interface Shown extends Pick<RowImage, 'entity' | 'id' | 'kind'> {
  readonly row: ModelRow | undefined;
}

type Message =
  { readonly kind: 'image'; readonly image: RowImage } | { readonly kind: 'result'; readonly result: SyncResult };

const rowKey = (entity: EntityName, id: string): string => `${entity}:${id}`;

export class SyncModel {
  readonly conflicts: SyncConflict[] = [];
  readonly pairs = new Map<string, Pair>();
  /** Commands that changed a row. */
  writeCount = 0;
  echoCount = 0;
  changeCount = 0;
  readonly #options: ModelOptions;
  readonly #random: () => number;
  readonly #databases: Readonly<Record<Side, ModelDatabase>>;
  readonly #queues = new Map<string, (() => void)[]>();
  /** What the first step knows: the pair of each row. */
  readonly #pairOfRow = new Map<string, string>();
  readonly #mappings = new Map<string, EntityMapping>();
  readonly #waiting = new Set<string>();
  readonly #done: SyncCommand[] = [];
  #clock = 1_000_000;

  constructor(options: ModelOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
    const database = (nextId: number): ModelDatabase => ({
      rows: new Map(),
      inbox: new Map(),
      mappings: new Map(),
      log: [],
      nextId,
    });
    this.#databases = { legacy: database(1), revamp: database(501) };
  }

  below(count: number): number {
    return Math.floor(this.#random() * count);
  }

  ids(side: Side, entity: EntityName): readonly string[] {
    return [...this.#databases[side].rows.keys()]
      .filter((key) => key.startsWith(`${entity}:`))
      .map((key) => key.slice(entity.length + 1));
  }

  // ---- what users do ------------------------------------------------------------------------------------------------

  insert(side: Side, entity: EntityName, values: Values, id?: string): string {
    const database = this.#databases[side];
    const own = id ?? String(database.nextId++);
    const row = { values: this.#rewritten(side, values), stamp: { version: 0 }, source: side };
    this.#change(side, entity, own, row);
    this.changeCount += 1;
    return own;
  }

  update(side: Side, entity: EntityName, id: string, values: Values): void {
    const row = this.#databases[side].rows.get(rowKey(entity, id));
    if (row === undefined) return;
    const app = this.#options.apps[side];
    const stamp =
      app === 'writes an old stamp back' && row.stamp.version > 0 ? { ...row.stamp, version: 0 } : row.stamp;
    const source = app === 'keeps the flag' ? row.source : side;
    this.#change(side, entity, id, { values: { ...row.values, ...this.#rewritten(side, values) }, stamp, source });
    this.changeCount += 1;
  }

  delete(side: Side, entity: EntityName, id: string): void {
    if (!this.#databases[side].rows.has(rowKey(entity, id))) return;
    this.#change(side, entity, id, undefined);
    this.changeCount += 1;
  }

  /** As an application that copies all columns but the id. */
  copy(side: Side, entity: EntityName, id: string): void {
    const database = this.#databases[side];
    const row = database.rows.get(rowKey(entity, id));
    if (row === undefined) return;
    this.#change(side, entity, String(database.nextId++), { ...row });
    this.changeCount += 1;
  }

  // ---- what happens in between --------------------------------------------------------------------------------------

  /** Something that is possible now; false if nothing is. */
  step(): boolean {
    const open = [...this.#queues].filter(([, queue]) => queue.length > 0);
    const waiting = [...this.#waiting];
    const drawn = this.below(open.length + (waiting.length > 0 && open.length > 0 ? 1 : 0));
    const queue = open[drawn]?.[1];
    if (queue !== undefined) {
      queue.shift()?.();
      return true;
    }
    return this.#wakeAny(waiting) || open.length > 0;
  }

  /** The capture of a side begins again at an earlier place. */
  replayChanges(side: Side): void {
    const { log } = this.#databases[side];
    for (const image of log.slice(this.below(log.length + 1))) this.#capture(image);
  }

  /** The capture of a side tells of all rows as they are. */
  snapshot(side: Side): void {
    for (const [key, row] of this.#databases[side].rows) {
      const [entity, id] = key.split(':') as [EntityName, string];
      this.#show(side, { entity, id, row, kind: 'snapshot' });
    }
  }

  /** A writer died after the database had committed: what it did comes again. */
  repeatCommand(): void {
    const command = this.#done[this.below(Math.max(1, this.#done.length))];
    if (command !== undefined) this.#enqueue(`commands ${command.mapId}`, () => this.#carryOut(command));
  }

  // ---- what must hold -----------------------------------------------------------------------------------------------

  /** The rows of a side, under the name of their pair; references are names of pairs too. */
  rows(side: Side): Readonly<Record<string, Values>> {
    const found: Record<string, Values> = {};
    for (const [key, { values }] of this.#databases[side].rows) {
      const [entity, id] = key.split(':') as [EntityName, string];
      const shown = { ...values };
      for (const { name, refersTo } of entities[entity].fields) {
        const value = shown[name];
        if (refersTo !== undefined && value !== undefined && value !== null)
          shown[name] = this.#nameOf({ entity: refersTo, side, id: value });
      }
      found[this.#nameOf({ entity, side, id })] = shown;
    }
    return Object.fromEntries(Object.entries(found).sort(([left], [right]) => (left < right ? -1 : 1)));
  }

  rowCount(side: Side): number {
    return this.#databases[side].rows.size;
  }

  /** Every id of either side that stands in more than one pair. */
  ambiguous(): readonly string[] {
    const all = [...this.pairs.values()].flatMap(({ entity, legacy, revamp }) => [
      ...(legacy.id === undefined ? [] : [formatRef({ entity, side: 'legacy', id: legacy.id })]),
      ...(revamp.id === undefined ? [] : [formatRef({ entity, side: 'revamp', id: revamp.id })]),
    ]);
    return all.filter((ref, index) => all.indexOf(ref) !== index);
  }

  #nameOf(ref: RowRef): string {
    return this.#pairOfRow.get(formatRef(ref)) ?? formatRef(ref);
  }

  // ---- parts --------------------------------------------------------------------------------------------------------

  #rewritten(side: Side, values: Values): Values {
    const trigger = this.#options.trigger?.[side];
    if (trigger === undefined) return values;
    return Object.fromEntries(
      Object.entries(values).map(([name, value]) => [
        name,
        value === null || name === 'author' ? value : trigger(value),
      ]),
    );
  }

  #change(side: Side, entity: EntityName, id: string, row: ModelRow | undefined): void {
    const { rows } = this.#databases[side];
    if (row === undefined) rows.delete(rowKey(entity, id));
    else rows.set(rowKey(entity, id), row);
    this.#show(side, { entity, id, row, kind: row === undefined ? 'deletion' : 'change' });
  }

  #show(side: Side, { entity, id, row, kind }: Shown): void {
    const { log } = this.#databases[side];
    this.#clock += 1 + this.below(3);
    const image: RowImage = {
      entity,
      side,
      id,
      kind,
      values: row?.values ?? {},
      stamp: row?.stamp ?? { version: 0 },
      position: [log.length + 1],
      clock: this.#clock + (this.#options.skew?.[side] ?? 0),
    };
    log.push(image);
    this.#capture(image);
  }

  #capture(image: RowImage): void {
    const ref = formatRef(image);
    this.#enqueue(`rows ${ref}`, () => {
      const mapId = this.#pairOfRow.get(ref) ?? image.stamp.mapId ?? ref;
      this.#pairOfRow.set(ref, mapId);
      this.#tell(mapId, { kind: 'image', image });
    });
  }

  #tell(mapId: string, message: Message): void {
    this.#enqueue(`pair ${mapId}`, () => {
      const before = this.pairs.get(mapId);
      if (message.kind === 'image')
        this.#apply(
          mapId,
          takeImage(mapId, before, message.image, (row) => this.#mappings.get(formatRef(row))),
        );
      else if (before !== undefined)
        this.#apply(
          mapId,
          takeResult(before, message.result, (row) => this.#mappings.get(formatRef(row))),
        );
    });
  }

  #apply(mapId: string, { pair, commands, conflicts, mapping, strays, waits, outcome }: Advance): void {
    this.pairs.set(mapId, pair);
    this.conflicts.push(...conflicts);
    if (outcome === 'echo') this.echoCount += 1;
    if (waits === undefined) this.#waiting.delete(mapId);
    else this.#waiting.add(mapId);
    if (mapping !== undefined) this.#enqueue('mappings', () => this.#learn(mapping));
    for (const image of strays) {
      this.#pairOfRow.set(formatRef(image), formatRef(image));
      this.#tell(formatRef(image), { kind: 'image', image });
    }
    for (const command of commands) this.#enqueue(`commands ${mapId}`, () => this.#carryOut(command));
  }

  #learn(mapping: EntityMapping): void {
    const { entity, legacyId, revampId } = mapping;
    this.#mappings.set(formatRef({ entity, side: 'legacy', id: legacyId }), mapping);
    this.#mappings.set(formatRef({ entity, side: 'revamp', id: revampId }), mapping);
  }

  #wakeAny(waiting: readonly string[]): boolean {
    let hasMoved = false;
    for (const mapId of waiting) {
      const before = this.pairs.get(mapId);
      if (before === undefined) continue;
      const advance = wake(before, (row) => this.#mappings.get(formatRef(row)));
      hasMoved ||= advance.commands.length > 0;
      this.#apply(mapId, advance);
    }
    return hasMoved;
  }

  /** As the writer's transaction. */
  #carryOut(command: SyncCommand): void {
    const database = this.#databases[command.side];
    const known = database.inbox.get(command.eventId);
    const result = known ?? {
      eventId: command.eventId,
      mapId: command.mapId,
      side: command.side,
      ...this.#write(command),
    };
    database.inbox.set(command.eventId, result);
    if (known === undefined) this.#done.push(command);
    this.#tell(command.mapId, { kind: 'result', result });
  }

  #write(command: SyncCommand): Pick<SyncResult, 'outcome' | 'id' | 'version'> {
    const { side, entity, operation, version } = command;
    const database = this.#databases[side];
    const mapped = command.id ?? database.mappings.get(command.mapId);
    const row = database.rows.get(rowKey(entity, mapped ?? ''));
    if (operation !== 'insert' && row === undefined) return { outcome: 'missing' };
    if (row !== undefined && row.stamp.version >= version) return { outcome: 'stale', version: row.stamp.version };
    const id = mapped ?? String(database.nextId++);
    this.#refuseOrphan(command);
    this.writeCount += 1;
    database.mappings.set(command.mapId, id);
    this.#change(side, entity, id, operation === 'delete' ? undefined : this.#writtenRow(command, row));
    return { outcome: 'written', id };
  }

  #writtenRow({ side, operation, version, eventId, mapId, values }: SyncCommand, row: ModelRow | undefined): ModelRow {
    const mark = operation === 'insert' ? mapId : row?.stamp.mapId;
    return {
      values: { ...row?.values, ...this.#rewritten(side, values) },
      stamp: { version, eventId, ...(mark === undefined ? {} : { mapId: mark }) },
      source: 'sync_service',
    };
  }

  #refuseOrphan({ entity, side, values }: SyncCommand): void {
    const author = values['author'] ?? null;
    if (entity === 'post' && author !== null && !this.#everWas(parseRef(`user:${side}:${author}`)))
      throw new Error('a reference to a row that never was');
  }

  #everWas(ref: RowRef | undefined): boolean {
    return ref !== undefined && this.#databases[ref.side].log.some((image) => formatRef(image) === formatRef(ref));
  }

  #enqueue(name: string, work: () => void): void {
    const queue = this.#queues.get(name) ?? [];
    this.#queues.set(name, queue);
    queue.push(work);
  }
}
