/** The operators of a table. */
import { joinedView, tableJoinSide, type TableJoin } from '../processors/joins.ts';
import type { CreateNode } from '../processors/node.ts';
import { oncePerCommit } from '../processors/once-per-commit.ts';
import { passThrough } from '../processors/stateless.ts';
import * as tables from '../processors/table.ts';
import type { TableView } from '../processors/table.ts';
import type { Change } from '../schemas/record.ts';
import type { Serde } from '../schemas/serde.ts';
import { changeSerde } from '../processors/change-serde.ts';
import { assumeSerde, type MatchingRows, type TableNeed, type TableState } from './handle-state.ts';
import { declareForeignKeyJoin } from './foreign-key.ts';
import type { Handles, KGroupedTable, KStream, KTable } from './handles.ts';
import type { ForeignKeyJoin, PredicateFor, Present, SerdeOptions, Step } from './operands.ts';
import { defineSuppressBuffer, type SuppressBufferOptions } from '../state-stores/suppress-buffer.ts';
import { suppress, suppressedView, type Suppression } from '../processors/suppress.ts';
import { repartition, requireSerdes } from './repartition.ts';
import { parts } from './step.ts';
import { storeName, tableStore, type TableStore } from './table-store.ts';

/** A table computed from another one, row by row. */
interface Derivation<W> {
  readonly prefix: string;
  readonly what: string;
  readonly name: string | undefined;
  readonly value: Serde<W> | undefined;
  readonly create: (step: string) => CreateNode;
  readonly view: (step: string) => TableView;
  /** Of a step that leaves out rows. */
  readonly matching?: MatchingRows;
}

type SuppressOptions<K, V> = SerdeOptions<K, V> & Pick<SuppressBufferOptions<K, V>, 'changelog'>;

type Joiner<K, V, V2, VR> = (value: V, other: V2, key: K) => VR;

export class TableHandle<K, V> implements KTable<K, V> {
  readonly state: TableState<K, V>;
  readonly #handles: Handles;

  constructor(handles: Handles, state: TableState<K, V>) {
    this.#handles = handles;
    this.state = Object.freeze(state);
    Object.freeze(this);
  }

  filter<W>(...step: Step<PredicateFor<K, V>>): KTable<K, W> {
    const { name, run } = parts(step);
    return this.#filter({ what: 'filter', name, predicate: run, kept: true });
  }

  filterNot<W>(...step: Step<PredicateFor<K, V>>): KTable<K, W> {
    const { name, run } = parts(step);
    return this.#filter({ what: 'filterNot', name, predicate: run, kept: false });
  }

  mapValues<V2>(...step: Step<(value: V, key: K) => V2>): KTable<K, Present<V2>> {
    const { name, run } = parts(step);
    return this.#derive({
      prefix: 'KTABLE-MAPVALUES',
      what: 'mapValues',
      name,
      value: undefined,
      create: (node) => tables.tableMapValues(node, run),
      view: (node) => tables.mappedView(this.state.view, node, run),
    });
  }

  materialize(store: TableStore<K, V>, { keySerde, valueSerde }: SerdeOptions<K, V> = {}): KTable<K, V> {
    const { declaration, node: parent, onError } = this.state;
    const name = storeName(store);
    const known = { declaration, key: keySerde ?? this.state.key, value: valueSerde ?? this.state.value };
    const spec = tableStore(store, known);
    const { matching, view: parentView } = this.state;
    if (matching !== undefined) matching.areKept = true;
    const node = declaration.processor({
      name: declaration.stepName('KTABLE-MATERIALIZE', name),
      what: 'materialize',
      parents: [parent],
      create: tables.materialize(name, () => leavesOut(matching, parentView)),
      stores: [spec],
      onError,
    });
    const view = tables.storeView(name, spec.historyRetentionMs);
    const { closesAfterMs } = this.state;
    const compare = (): boolean => {
      if (matching !== undefined) matching.leavesOut = true;
      return true;
    };
    const keep = (need: TableNeed): void => {
      if (need !== 'rows') compare();
    };
    const rows = { key: spec.key, value: spec.value, view, keep, compare };
    return this.#handles.table({ declaration, onError, node, ...rows, closesAfterMs });
  }

  suppress(
    name: string,
    how: Suppression,
    { keySerde, valueSerde, changelog }: SuppressOptions<K, V> = {},
  ): KTable<K, V> {
    const { state } = this;
    const { declaration, node: parent, onError, closesAfterMs } = state;
    if (how.until === 'window-close' && closesAfterMs === undefined)
      throw declaration.refuse(
        name,
        'waits for windows to close: its table is not windowed, or when they close is not known',
      );
    state.keep('changes');
    const serdes = requireSerdes(name, { declaration, key: keySerde ?? state.key, value: valueSerde ?? state.value });
    const spec = defineSuppressBuffer(name, { ...serdes, ...(changelog === undefined ? {} : { changelog }) });
    const waitMs = how.until === 'window-close' ? (closesAfterMs ?? 0) : how.limitMs;
    const node = declaration.processor({
      name: declaration.stepName('KTABLE-SUPPRESS', name),
      what: 'suppress',
      parents: [parent],
      create: suppress({ step: name, store: name, how, waitMs }),
      stores: [spec],
      // The result is read through the table before it.
      reads: state.view.stores,
      onError,
    });
    const view = suppressedView(state.view, name);
    return this.#handles.table<K, V>({ ...state, ...serdes, node, view, matching: undefined });
  }

  oncePerCommit(name?: string): KTable<K, V> {
    const { state } = this;
    const { declaration, node: parent, onError, keep, view, key } = state;
    const step = declaration.stepName('KTABLE-ONCE-PER-COMMIT', name);
    if (key === undefined) throw declaration.refuse(step, 'needs a key serde: materialize the table first');
    keep('changes');
    const node = declaration.processor({
      name: step,
      what: 'oncePerCommit',
      parents: [parent],
      create: oncePerCommit(view, (of) => Buffer.from(key.serialize(of as K)).toString('latin1')),
      reads: view.stores,
      onError,
    });
    return this.#handles.table({ ...state, node, matching: undefined });
  }

  toStream(name?: string): KStream<K, V | null> {
    const { declaration, onError, key, value, node: parent } = this.state;
    const node = declaration.processor({
      name: declaration.stepName('KTABLE-TOSTREAM', name),
      what: 'toStream',
      parents: [parent],
      create: tables.toStream(),
      onError,
    });
    return this.#handles.stream<K, V | null>({ declaration, onError, node, key, value, keyChanged: false });
  }

  toChanges(name?: string): KStream<K, Change<V>> {
    const { declaration, onError, key, node: parent, keep } = this.state;
    keep('changes');
    const node = declaration.processor({
      name: declaration.stepName('KTABLE-TOCHANGES', name),
      what: 'toChanges',
      parents: [parent],
      create: passThrough(),
      onError,
    });
    return this.#handles.stream<K, Change<V>>({ declaration, onError, node, key, value: undefined, keyChanged: false });
  }

  groupBy<K2, V2>(
    name: string,
    mapper: (value: V, key: K) => readonly [K2 | null, V2 | null] | null,
    { keySerde, valueSerde }: { readonly keySerde: Serde<K2>; readonly valueSerde: Serde<V2> },
  ): KGroupedTable<K2, V2> {
    const { declaration, onError, node: parent, keep } = this.state;
    keep('changes');
    const step = `${name}-select-key`;
    const node = declaration.processor({
      name: declaration.stepName('KTABLE-SELECT', step),
      what: 'groupBy',
      parents: [parent],
      create: tables.regroup(step, mapper, sameBytes(keySerde)),
      onError,
    });
    const changes = { declaration, onError, node, key: keySerde, value: changeSerde(valueSerde), keyChanged: true };
    const grouped = repartition(changes, { name, what: 'groupBy', isKeyed: true });
    return this.#handles.groupedTable({ ...grouped, value: valueSerde });
  }

  join<V2, VR>(name: string, other: KTable<K, V2>, joiner: Joiner<K, V, V2, VR>): KTable<K, Present<VR>> {
    return this.#join(name, other, { joiner, leftRequired: true, rightRequired: true });
  }

  leftJoin<V2, VR>(name: string, other: KTable<K, V2>, joiner: Joiner<K, V, V2 | null, VR>): KTable<K, Present<VR>> {
    return this.#join(name, other, { joiner, leftRequired: true, rightRequired: false });
  }

  outerJoin<V2, VR>(
    name: string,
    other: KTable<K, V2>,
    joiner: Joiner<K, V | null, V2 | null, VR>,
  ): KTable<K, Present<VR>> {
    return this.#join(name, other, { joiner, leftRequired: false, rightRequired: false });
  }

  foreignKeyJoin<KO, VO, VR>(
    name: string,
    other: KTable<KO, VO>,
    how: ForeignKeyJoin<K, V, KO, VO, VR>,
  ): KTable<K, Present<VR>> {
    return this.#foreignKeyJoin(name, other, { ...how, what: 'foreign-key join', isLeft: false });
  }

  foreignKeyLeftJoin<KO, VO, VR>(
    name: string,
    other: KTable<KO, VO>,
    how: ForeignKeyJoin<K, V, KO, VO | null, VR>,
  ): KTable<K, Present<VR>> {
    return this.#foreignKeyJoin(name, other, { ...how, what: 'foreign-key left join', isLeft: true });
  }

  #filter<W>(step: {
    readonly what: string;
    readonly name: string | undefined;
    readonly predicate: PredicateFor<K, V>;
    readonly kept: boolean;
  }): KTable<K, W> {
    const { what, name, predicate, kept } = step;
    const { view, value, compare } = this.state;
    const matching: MatchingRows = { leavesOut: compare(), areKept: false };
    const isLeftOut = (): boolean => leavesOut(matching, view) && !matching.areKept;
    return this.#derive({
      prefix: 'KTABLE-FILTER',
      what,
      name,
      value: assumeSerde<W>(value),
      create: (node) => tables.tableFilter({ step: node, predicate, kept }, isLeftOut),
      view: (node) => tables.filteredView(view, { step: node, predicate, kept }),
      matching,
    });
  }

  #derive<W>({ prefix, what, name, value, create, view, matching }: Derivation<W>): KTable<K, W> {
    const { declaration, node: parent, onError } = this.state;
    const step = declaration.stepName(prefix, name);
    const node = declaration.processor({ name: step, what, parents: [parent], create: create(step), onError });
    const notice = (isTold: boolean): boolean => {
      if (matching !== undefined && isTold) matching.leavesOut = true;
      return isTold;
    };
    const keep = (need: TableNeed): void => {
      // Rows of the result are deleted by changes of the parent, too.
      this.state.keep(need === 'rows' ? 'rows' : 'changes');
      notice(need !== 'rows');
    };
    const compare = (): boolean => notice(this.state.compare());
    return this.#handles.table({ ...this.state, node, value, view: view(step), keep, compare, matching });
  }

  #foreignKeyJoin<KO, VO, VO2, VR>(
    name: string,
    other: KTable<KO, VO>,
    how: ForeignKeyJoin<K, V, KO, VO2, VR> & { readonly what: string; readonly isLeft: boolean },
  ): KTable<K, Present<VR>> {
    const { valueSerde: value, otherPartitioner } = how;
    const right = this.state.declaration.own(name, other.state);
    const result = declareForeignKeyJoin(this.state, right, { ...how, name, value, otherPartitioner });
    return this.#handles.table<K, Present<VR>>({ ...result, key: this.state.key, value });
  }

  #join<V2, VR>(name: string, other: KTable<K, V2>, sides: Omit<TableJoin, 'tracksOldValues'>): KTable<K, Present<VR>> {
    const { declaration, onError, key, view: left, node: leftNode } = this.state;
    const { view: right, node: rightNode, keep: keepRight } = declaration.own(name, other.state);
    const { keep: keepLeft } = this.state;
    // Where the other side may be missing, deleting a row that was there differs from deleting one that was not.
    keepLeft(sides.rightRequired ? 'rows' : 'deleted');
    keepRight(sides.leftRequired ? 'rows' : 'deleted');
    const oldValues = { areNeeded: false };
    const keepChanges = (): void => {
      oldValues.areNeeded = true;
      keepLeft('changes');
      keepRight('changes');
    };
    const join: TableJoin = { ...sides, tracksOldValues: () => oldValues.areNeeded };
    const what = 'table-table join';
    const thisSide = declaration.processor({
      name: declaration.stepName('KTABLE-JOINTHIS', `${name}-join-this`),
      what,
      parents: [leftNode],
      create: tableJoinSide(name, join, 'left', right),
      reads: right.stores,
      onError,
    });
    const otherSide = declaration.processor({
      name: declaration.stepName('KTABLE-JOINOTHER', `${name}-join-other`),
      what,
      parents: [rightNode],
      create: tableJoinSide(name, join, 'right', left),
      reads: left.stores,
      onError,
    });
    const node = declaration.processor({
      name: declaration.stepName('KTABLE-MERGE', name),
      what,
      parents: [thisSide, otherSide],
      create: passThrough(),
      onError,
    });
    const view = joinedView(name, join, left, right);
    return this.#handles.table<K, Present<VR>>({
      declaration,
      onError,
      node,
      key,
      value: undefined,
      view,
      keep: (need) => {
        if (need !== 'rows') keepChanges();
      },
      compare: () => {
        keepChanges();
        return true;
      },
    });
  }
}

/** A versioned table must hear of the time from which on a row is absent. */
function leavesOut(matching: MatchingRows | undefined, parent: TableView): boolean {
  return matching?.leavesOut === true && parent.historyRetentionMs === undefined;
}

/** Keys are equal if they are written alike. */
function sameBytes(serde: Serde<unknown>): (a: unknown, b: unknown) => boolean {
  return (a, b) => a === b || Buffer.compare(serde.serialize(a), serde.serialize(b)) === 0;
}
