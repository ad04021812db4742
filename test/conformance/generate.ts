/** Draws random cases: little time, few keys, records out of order, nulls on both sides. What they should give is for Kafka Streams to say. */
import { Chance } from '../simulation/chance.ts';
import type { ConformanceCase, FunctionText, Input, Params, TypeName } from './format.ts';

type Types = ConformanceCase['types'];

interface Draft {
  readonly params: Params;
  readonly functions: Readonly<Record<string, FunctionText>>;
  readonly types: Types;
  /** How the input of each topic looks; default: keys `k1`, …, values `v0`, …. */
  readonly key?: (topic: string) => unknown;
  readonly value?: (topic: string, step: number) => unknown;
  /** A last record far in the future, which closes what is open. */
  readonly closes?: boolean;
  /** Null keys are left out where Kafka Streams fails at them. */
  readonly hasNullKeys?: boolean;
}

type Draw = (chance: Chance) => Draft;

const text: { readonly key: TypeName; readonly value: TypeName } = { key: 'string', value: 'string' };
const dayMs = 86_400_000;

const spans = [0, 1, 2, 3, 5, 8, 10, 20, 30] as const;
const sizes = [1, 2, 5, 10, 20] as const;

const drafts: Readonly<Record<string, Draw>> = {
  'stream-stream-inner': streamStream,
  'stream-stream-left': streamStream,
  'stream-stream-outer': streamStream,
  'stream-stream-self': (chance) => ({ ...streamStream(chance), types: { left: textOrNumber(chance) } }),
  'stream-stream-inner-multi': streamStream,
  'stream-table-inner': streamTable,
  'stream-table-left': streamTable,
  'stream-table-inner-grace': (chance) => ({ ...graceJoin(chance), closes: true }),
  'stream-table-left-grace': (chance) => ({ ...graceJoin(chance), closes: true, hasNullKeys: false }),
  'stream-globaltable-inner': globalJoin,
  'stream-globaltable-left': globalJoin,
  'table-table-inner': tableTable,
  'table-table-left': tableTable,
  'table-table-outer': tableTable,
  'table-table-multi': (chance) => {
    const draft = tableTable(chance);
    const joins = [1, 2].map(() => chance.pick(['inner', 'left', 'outer'] as const));
    return { ...draft, params: { ...draft.params, output: 'value', sendOldValues: false, joins } };
  },
  'fk-inner': foreignKey,
  'fk-left': foreignKey,
  'fk-inner-chained': (chance) => {
    const draft = foreignKey(chance);
    const { joiner = '', foreignKeyExtractor = '' } = draft.functions;
    return { ...draft, functions: { joiner, foreignKeyExtractor } };
  },
  'fk-inner-multi': foreignKeys,
  'repartition-null-key': (chance) => ({
    params: { leftOps: operators(chance) },
    functions: {},
    types: { left: text },
  }),
  'window-tumbling': (chance) => windowed(chance, 'tumbling'),
  'window-hopping': (chance) => windowed(chance, 'hopping'),
  'window-sliding': (chance) => windowed(chance, 'sliding'),
  'window-session': (chance) => windowed(chance, 'session'),
  'window-emit-final': (chance) => {
    const draft = windowed(chance, chance.pick(['tumbling', 'hopping', 'sliding', 'session'] as const));
    const every = chance.isTrue(0.5) ? { emitIntervalMs: chance.pick([5, 20]) } : {};
    return { ...draft, params: { ...draft.params, ...every, emit: 'close', retentionMs: dayMs }, closes: true };
  },
  'window-hopping+table-table-join': (chance) => windowJoin(chance, 'hopping'),
  'window-sliding+table-table-join': (chance) => windowJoin(chance, 'sliding'),
  'suppress-final-tumbling': (chance) => finalResults(chance, 'tumbling'),
  'suppress-final-hopping': (chance) => finalResults(chance, 'hopping'),
  'suppress-final-sliding': (chance) => finalResults(chance, 'sliding'),
  'suppress-final-session': (chance) => finalResults(chance, 'session'),
  'suppress-time-limit': (chance) => suppressed(chance, { untilTimeLimitMs: chance.pick([...spans, 50]) }),
  'suppress-record-limit': (chance) =>
    suppressed(chance, {
      maxRecords: chance.between(0, 3),
      whenFull: chance.pick(['emitEarly', 'shutDown'] as const),
      ...(chance.isTrue(0.5) ? { untilTimeLimitMs: chance.pick(spans) } : {}),
    }),
  'suppress-before-groupBy': (chance) => suppressed(chance, limits(chance), ['out']),
  'suppress-before-join': (chance) => {
    const draft = tableTable(chance);
    const { joiner = '' } = draft.functions;
    const params: Params = {
      suppressSide: chance.pick(['left', 'right'] as const),
      join: chance.pick(['inner', 'left', 'outer'] as const),
      ...limits(chance),
    };
    return { ...draft, functions: { joiner }, params };
  },
  'ktable-aggregate': tableAggregate,
  'ktable-count': (chance) => ({ ...tableAggregate(chance), functions: { op: 'count', groupBy: grouping(chance) } }),
  'ktable-reduce': (chance) => ({
    ...tableDraft(chance),
    types: { input: { key: 'string', value: 'int32' } },
    value: () => chance.between(-3, 60),
    functions: { groupBy: '["g" + value % 3, value]', adder: 'a + b', subtractor: 'a - b' },
  }),
  'ktable-filter-aggregate': (chance) => {
    const draft = tableAggregate(chance);
    return { ...draft, functions: { ...draft.functions, predicate: 'value.split("|")[2] != "n"' } };
  },
  'ktable-source': (chance) => ({ ...tableDraft(chance), functions: {} }),
  'ktable-source-ooo': (chance) => {
    const draft = tableDraft(chance);
    const params: Params = { ...draft.params, output: 'change', sendOldValues: chance.isTrue(0.5) };
    return { ...draft, params, functions: {} };
  },
  'ktable-source-store': (chance) => ({ ...tableDraft(chance), functions: {} }),
  'ktable-filter': (chance) => {
    const draft = tableMap(chance);
    return {
      ...draft,
      params: { ...draft.params, outputs: ['filtered', 'filteredNot'] },
      functions: { predicate: 'value % 2 == 0' },
    };
  },
  'ktable-mapvalues': (chance) => ({ ...tableMap(chance), functions: { mapper: 'value * 2' } }),
  'ktable-filter-mapvalues': (chance) => ({
    ...tableMap(chance),
    functions: { predicate: 'value > 20', mapper: '"m" + value' },
  }),
  'to-table': (chance) => ({
    params: { ...versionedTable(chance), ops: chance.isTrue(0.5) ? operators(chance) : [] },
    functions: {},
    types: { input: textOrNumber(chance) },
  }),
  'kstream-aggregate': (chance) => ({
    params: { materialized: true },
    types: { input: chance.isTrue(0.5) ? text : textOrNumber(chance) },
    functions: { ...aggregation(chance, false), ...(chance.isTrue(0.5) ? { groupBy: groupOfStream } : {}) },
    value: (_topic, step) => parts(chance, step),
  }),
  cogroup: (chance) => ({
    params: chance.isTrue(0.4)
      ? {}
      : { ...windowParams(chance, chance.pick(['tumbling', 'hopping', 'sliding', 'session'] as const)) },
    functions: {
      initializer: '"0"',
      aggregators: { one: 'agg + "-" + value', two: 'agg + "+" + value' },
      merger: 'a + "&" + b',
    },
    types: { one: text, two: text },
  }),
  chain,
};

export const generatedKinds: readonly string[] = Object.keys(drafts);

/** A case that the seed and the kind determine, without what it should give. */
export function generateCase(kind: string, seed: number): ConformanceCase {
  const draw = drafts[kind];
  if (draw === undefined) throw new Error(`cases of ${kind} are not drawn`);
  const chance = new Chance(seed, kind);
  const draft = draw(chance);
  return {
    name: `drawn-${kind}-${String(seed)}`,
    kind,
    params: { caching: 'off', ...draft.params },
    functions: draft.functions,
    types: draft.types,
    input: inputs(chance, draft),
    expectedMode: 'ordered-per-step',
    // A cache sends sessions on with headers, which they do not have without one.
    tags: draft.params.caching === 'flushed' && draft.params.windows === 'session' ? [] : ['headers'],
  };
}

function inputs(chance: Chance, draft: Draft): readonly Input[] {
  const topics = Object.keys(draft.types);
  const keyCount = chance.between(1, 4);
  const outOfOrder = chance.pick([0, 0.2, 0.4]);
  const lateMs = chance.pick([5, 15, 40]);
  const nulls = chance.pick([0, 0.05, 0.25]);
  const hasNullKeys = draft.hasNullKeys !== false && chance.isTrue(0.6);
  const keyFor = (topic: string, type: TypeName): unknown =>
    hasNullKeys && chance.isTrue(0.06) ? null : (draft.key?.(topic) ?? keyOf(chance, type, keyCount));
  const valueFor = (topic: string, type: TypeName, step: number): unknown =>
    chance.isTrue(nulls) ? null : (draft.value?.(topic, step) ?? valueOf(topic, type, step));
  let now = chance.below(20);
  const hasClock = draft.params.emitIntervalMs !== undefined;
  let clock = 0;
  const list: Input[] = [];
  const count = chance.between(3, 40);
  for (let step = 0; step < count; step += 1) {
    now += chance.isTrue(0.06) ? chance.between(20, 60) : chance.below(6);
    const topic = chance.pick(topics);
    const { key, value } = draft.types[topic] ?? text;
    if (hasClock && chance.isTrue(0.4)) list.push({ advanceWallClockTo: (clock += chance.below(12)) });
    const ts = chance.isTrue(outOfOrder) ? Math.max(0, now - chance.between(1, lateMs)) : now;
    list.push({ topic, key: keyFor(topic, key), value: valueFor(topic, value, step), ts });
  }
  return draft.closes === true && chance.isTrue(0.8) ? [...list, closing(chance, draft, now + 1000)] : list;
}

function closing(chance: Chance, { types }: Draft, ts: number): Input {
  const [[topic, { key, value }] = ['', text]] = Object.entries(types);
  return { topic, key: keyOf(chance, key, 4), value: valueOf(topic, value, 99), ts };
}

function keyOf(chance: Chance, type: TypeName, count: number): unknown {
  return type === 'string' ? `k${String(chance.between(1, count))}` : chance.between(-1, count - 2);
}

function valueOf(topic: string, type: TypeName, step: number): unknown {
  return type === 'string' ? `${topic.slice(0, 1).toUpperCase()}${String(step)}` : step;
}

function textOrNumber(chance: Chance): { readonly key: TypeName; readonly value: TypeName } {
  return { key: chance.pick(['string', 'string', 'int32', 'int64'] as const), value: 'string' };
}

function operators(chance: Chance): readonly string[] {
  return Array.from({ length: chance.below(3) }, () =>
    chance.pick(['map(identity)', 'flatMap(identity)', 'selectKey(identity)', 'repartition']),
  );
}

function streamStream(chance: Chance): Draft {
  const type = textOrNumber(chance);
  return {
    params: {
      beforeMs: chance.pick(spans),
      afterMs: chance.pick(spans),
      graceMs: chance.pick(spans),
      leftOps: operators(chance),
      rightOps: operators(chance),
    },
    functions: { joiner: 'left + "-" + right' },
    types: { left: type, right: type },
    closes: true,
  };
}

function streamTable(chance: Chance): Draft {
  const type = textOrNumber(chance);
  return {
    params: { ...versionedTable(chance), leftOps: operators(chance), rightOps: operators(chance) },
    functions: { joiner: 'left + "-" + right' },
    types: { left: type, right: type },
  };
}

function graceJoin(chance: Chance): Draft {
  const draft = streamTable(chance);
  const joinedGraceMs = chance.pick(spans);
  const historyRetentionMs = chance.pick([joinedGraceMs, joinedGraceMs + 20, 300_000]);
  return { ...draft, params: { ...draft.params, table: 'versioned', joinedGraceMs, historyRetentionMs } };
}

function versionedTable(chance: Chance): Params {
  if (chance.isTrue(0.6)) return { table: chance.pick(['timestamped-kv', 'kept']) };
  return { table: 'versioned', historyRetentionMs: chance.pick([0, 10, 40, 300_000]) };
}

function globalJoin(chance: Chance): Draft {
  return {
    params: { globalTable: 'timestamped-kv', leftOps: [], globalTopic: 'right' },
    functions: { joiner: 'left + "+" + right', keyMapper: 'value == null ? null : value.split(",")[1]' },
    types: { left: text, right: text },
    key: (topic) => (topic === 'right' ? `g${String(chance.between(1, 3))}` : undefined),
    value: (topic, step) =>
      topic === 'right'
        ? undefined
        : `L${String(step)}${chance.isTrue(0.8) ? `,g${String(chance.between(1, 3))}` : ''}`,
  };
}

function tableTable(chance: Chance): Draft {
  const type = textOrNumber(chance);
  const side = () => (chance.isTrue(0.7) ? 'timestamped-kv' : 'versioned');
  const isChange = chance.isTrue(0.3);
  return {
    params: {
      left: side(),
      right: side(),
      historyRetentionMs: chance.pick([0, 10, 40, 300_000]),
      materialized: chance.isTrue(0.5),
      output: isChange ? 'change' : 'value',
      sendOldValues: isChange && chance.isTrue(0.7),
    },
    functions: { joiner: 'left + "-" + right' },
    types: { left: type, right: type },
  };
}

function foreignKey(chance: Chance): Draft {
  const side = () => (chance.isTrue(0.7) ? 'timestamped-kv' : 'versioned');
  const hasNullForeignKeys = chance.isTrue(0.5);
  return {
    params: { left: side(), right: side(), historyRetentionMs: chance.pick([0, 40, 300_000]), materialized: true },
    functions: {
      joiner: '"(" + left + "," + right + ")"',
      foreignKeyExtractor: 'value.split("|")[1]',
      ...(chance.isTrue(0.3) ? { rejoiner: '"rejoin(" + left + "," + right + ")"' } : {}),
    },
    types: { left: textOrNumber(chance), right: text },
    key: (topic) => (topic === 'right' ? `f${String(chance.between(1, 3))}` : undefined),
    value: (topic, step) => {
      if (topic === 'right') return undefined;
      // The same value twice has the same hash.
      const name = chance.isTrue(0.2) ? 'L' : `L${String(step)}`;
      return hasNullForeignKeys && chance.isTrue(0.2) ? name : `${name}|f${String(chance.between(1, 3))}`;
    },
  };
}

function foreignKeys(chance: Chance): Draft {
  const foreign = (name: string): string => `${name}${String(chance.between(1, 3))}`;
  return {
    params: {},
    functions: {
      joiner1: 'left + "&" + right',
      joiner2: 'left + "%" + right',
      foreignKeyExtractor1: 'value.split("|")[1]',
      foreignKeyExtractor2: 'value.split("|")[2].split("&")[0]',
    },
    types: { table1: text, table2: text, table3: text },
    key: (topic) => (topic === 'table1' ? undefined : foreign(topic === 'table2' ? 'f' : 'g')),
    value: (topic, step) => (topic === 'table1' ? `L${String(step)}|${foreign('f')}|${foreign('g')}` : undefined),
  };
}

function windowed(chance: Chance, kind: NonNullable<Params['windows']>): Draft {
  const isFinal = chance.isTrue(0.4);
  return {
    params: {
      ...windowParams(chance, kind),
      emit: isFinal ? 'close' : 'update',
      ...(chance.isTrue(0.2) && !isFinal ? { output: 'change' } : { output: 'value' }),
    },
    functions: aggregation(chance, kind === 'session'),
    types: { input: textOrNumber(chance) },
    closes: isFinal,
  };
}

function windowParams(chance: Chance, windows: NonNullable<Params['windows']>): Params {
  const graceMs = chance.pick(spans);
  const sizeMs = chance.pick(sizes);
  // The shortest retention that the windows allow is the default.
  const common: Params = { windows, graceMs, ...(chance.isTrue(0.75) ? { retentionMs: dayMs } : {}) };
  switch (windows) {
    case 'tumbling':
      return { ...common, sizeMs };
    case 'hopping':
      return { ...common, sizeMs, advanceMs: Math.max(1, chance.below(sizeMs + 1)) };
    case 'sliding':
      // Kafka Streams fails at a difference of 0.
      return { ...common, timeDifferenceMs: chance.pick(sizes) };
    case 'session':
      return { ...common, gapMs: chance.pick(spans) };
  }
}

function aggregation(chance: Chance, isSession: boolean): Readonly<Record<string, FunctionText>> {
  switch (chance.below(3)) {
    case 0:
      return { op: 'count' };
    case 1:
      return { reducer: 'a + "+" + b' };
    default:
      return {
        initializer: '"0"',
        // Null removes the window.
        aggregator: chance.isTrue(0.8) ? 'agg + "+" + value' : '("" + value).includes("3") ? null : agg + "+" + value',
        ...(isSession ? { merger: 'a + "&" + b' } : {}),
      };
  }
}

function windowJoin(chance: Chance, kind: NonNullable<Params['windows']>): Draft {
  return {
    params: {
      ...windowParams(chance, kind),
      emit: 'update',
      topics: ['topic1', 'topic2'],
      outputs: ['out', 'out1', 'out2'],
      output: 'value',
    },
    functions: { initializer: '"0"', aggregator: 'agg + "+" + value', joiner: 'left + "%" + right' },
    types: { topic1: text, topic2: text },
  };
}

function finalResults(chance: Chance, kind: NonNullable<Params['windows']>): Draft {
  return {
    params: { ...windowParams(chance, kind), emit: 'update', outputs: ['raw', 'suppressed'] },
    functions: aggregation(chance, kind === 'session'),
    types: { input: textOrNumber(chance) },
    closes: true,
  };
}

function limits(chance: Chance): Params {
  return {
    untilTimeLimitMs: chance.pick(spans),
    ...(chance.isTrue(0.4) ? { maxRecords: chance.between(0, 3), whenFull: 'emitEarly' } : {}),
  };
}

function suppressed(chance: Chance, limit: Params, outputs: readonly string[] = ['raw', 'suppressed']): Draft {
  return {
    params: { ...limit, outputs },
    functions: { op: 'count', groupBy: '[value, key]' },
    types: { input: text },
    value: () => `g${String(chance.between(1, 3))}`,
    closes: true,
  };
}

function tableDraft(chance: Chance): Draft {
  return { params: versionedTable(chance), functions: {}, types: { input: text } };
}

function tableAggregate(chance: Chance): Draft {
  return {
    ...tableDraft(chance),
    functions: {
      groupBy: grouping(chance),
      initializer: '"0"',
      adder: 'agg + "+" + value',
      subtractor: chance.isTrue(0.8) ? 'agg + "-" + value' : 'agg.length > 9 ? null : agg + "-" + value',
    },
    value: (_topic, step) => parts(chance, step),
  };
}

function grouping(chance: Chance): string {
  return chance.pick([
    '[key, value.split("|")[0]]',
    '[value.split("|")[1], value.split("|")[0]]',
    '[value.split("|")[1], value]',
    '[value.split("|")[1], value.split("|")[2]]',
  ]);
}

const groupOfStream = 'value == null ? null : value.split("|")[1]';

function parts(chance: Chance, step: number): string {
  if (chance.isTrue(0.15)) return `v${String(step)}`;
  return `v${String(step)}|g${String(chance.between(1, 3))}${chance.isTrue(0.7) ? `|${chance.pick(['y', 'n'])}` : ''}`;
}

function tableMap(chance: Chance): Draft {
  const isChange = chance.isTrue(0.2);
  return {
    params: {
      ...versionedTable(chance),
      materialized: chance.isTrue(0.5),
      ...(isChange ? { output: 'change', sendOldValues: chance.isTrue(0.5) } : {}),
    },
    functions: {},
    types: { input: { key: 'string', value: 'int32' } },
    value: () => chance.between(0, 60),
  };
}

/** Steps of tables in any order: at most one join and one suppression, and none that needs plain keys after windows. */
function chain(chance: Chance): Draft {
  const source = chance.pick(['table', 'toTable', 'windows', 'aggregate'] as const);
  const steps = chainOf(chance, source === 'windows');
  const isChange = chance.isTrue(0.3);
  return {
    params: {
      caching: 'flushed',
      source,
      steps,
      table: chance.pick(['timestamped-kv', 'kept']),
      ...(source === 'windows'
        ? windowParams(chance, chance.pick(['tumbling', 'hopping', 'sliding', 'session'] as const))
        : {}),
      ...limits(chance),
      ...(isChange ? { output: 'change', sendOldValues: true } : { output: 'value' }),
    },
    functions: {
      ...aggregation(chance, true),
      again: '"0"',
      adder: 'agg + "+" + value',
      subtractor: 'agg + "-" + value',
      regroup: chance.pick(['["g" + ("" + value).length % 3, value]', '["g" + ("" + value).length, "" + value]']),
      mapper: chance.pick(['"m" + value', '("" + value).length', '("" + value).includes("2") ? null : value']),
      predicate: chance.pick(['("" + value).length % 2 == 0', '!("" + value).includes("1")']),
      joiner: 'left + "~" + right',
    },
    types: { input: text, right: text },
    key: (topic) => (topic === 'right' && chance.isTrue(0.4) ? `g${String(chance.between(0, 3))}` : undefined),
  };
}

function chainOf(chance: Chance, isWindowed: boolean): readonly string[] {
  const steps: string[] = [];
  const count = chance.between(1, 4);
  while (steps.length < count) {
    const step = chance.pick(isWindowed && !steps.includes('groupBy') ? windowedSteps : chainSteps);
    if (mayFollow(steps, step)) steps.push(step);
  }
  return steps;
}

function mayFollow(steps: readonly string[], step: string): boolean {
  if (isJoin(step)) return !steps.some(isJoin);
  if (step !== 'suppress') return true;
  // What is held needs a serde, which these steps leave open.
  const last = steps.findLast((each) => each !== 'filter');
  return !steps.includes(step) && !['mapValues', 'join', 'leftJoin', 'outerJoin'].includes(last ?? '');
}

function isJoin(step: string): boolean {
  return step.toLowerCase().includes('join');
}

const windowedSteps = ['filter', 'mapValues', 'suppress', 'groupBy'] as const;
const chainSteps = [
  ...windowedSteps,
  'filter-kept',
  'mapValues-kept',
  'join',
  'leftJoin',
  'outerJoin',
  'join-kept',
  'outerJoin-kept',
  'toTable',
] as const;
