/** Declares the join of a table with the rows that its own rows refer to: two topics, a store of subscriptions, and the steps around them. */
import { answerSubscribers, receiveSubscription, resolveResponse, subscribe } from '../processors/foreign-key-join.ts';
import { responseSerde, subscriptionSerde } from '../processors/subscription.ts';
import type { UserFunction } from '../processors/user-function.ts';
import { bytesSerde, type Serde } from '../schemas/serde.ts';
import { recordTimestamp } from '../schemas/timestamp.ts';
import { defineStore } from '../state-stores/spec.ts';
import type { Declaration } from './declaration.ts';
import type { InternalTopicKind, Partitioner } from './graph.ts';
import type { TableState } from './handle-state.ts';
import { requireSerdes } from './repartition.ts';
import { declareTable } from './table-source.ts';
import { tableStore } from './table-store.ts';

export interface ForeignKeyJoinStep {
  readonly name: string;
  readonly what: string;
  readonly isLeft: boolean;
  readonly foreignKey: UserFunction<[value: unknown, key: unknown], unknown>;
  readonly joiner: UserFunction<[value: unknown, other: unknown, key: unknown], unknown>;
  /** Of the other table's topics, if its keys are not partitioned by their bytes. */
  readonly otherPartitioner: UserFunction<[key: unknown, partitions: number], number | undefined> | undefined;
  /** Of the result. */
  readonly value: Serde<unknown> | undefined;
}

/** One of the two topics. */
interface Channel {
  readonly kind: InternalTopicKind;
  readonly from: readonly string[];
  readonly writtenKey: Serde<unknown>;
  readonly readKey: Serde<unknown>;
  readonly value: Serde<unknown>;
  readonly partitioner: Partitioner | undefined;
}

type AnyTable = TableState<unknown, unknown>;

/** The result, as a table that is kept if a later step needs it. */
export function declareForeignKeyJoin(left: AnyTable, right: AnyTable, step: ForeignKeyJoinStep): AnyTable {
  const { name, what, value } = step;
  const { declaration, onError } = left;
  const serdes = { left: requireSerdes(name, left), right: requireSerdes(name, right) };
  left.keep('changes');
  right.keep('changes');
  const answers = declareRightSide(left, right, { step, serdes });
  const response = channel(declaration, name, {
    kind: 'subscription-response-topic',
    from: answers,
    writtenKey: bytesSerde,
    readKey: serdes.left.key,
    value: responseSerde(serdes.right.value),
    partitioner: (_key, answer) => (answer as { readonly partition: number | undefined }).partition,
  });
  const resolved = declaration.processor({
    name: declaration.stepName('KTABLE-FK-JOIN-RESOLVER', `${name}-subscription-response-resolver`),
    what,
    parents: [response],
    create: resolveResponse(left.view, { ...step, step: name, valueSerde: serdes.left.value }),
    reads: left.view.stores,
    onError,
  });
  const key = serdes.left.key;
  const result = declareTable(declaration, {
    name: declaration.stepName('KTABLE-FK-JOIN-OUTPUT', name),
    what,
    parent: resolved,
    storeName: name,
    spec: () => tableStore(name, { declaration, key, value }),
    isKept: false,
    onError,
  });
  return { declaration, onError, key, value, ...result };
}

interface Serdes {
  readonly key: Serde<unknown>;
  readonly value: Serde<unknown>;
}

/** From the rows of the left table to the steps whose output answers them. */
function declareRightSide(
  left: AnyTable,
  right: AnyTable,
  {
    step,
    serdes,
  }: { readonly step: ForeignKeyJoinStep; readonly serdes: { readonly left: Serdes; readonly right: Serdes } },
): readonly string[] {
  const { declaration, onError } = left;
  const { name, what, otherPartitioner } = step;
  const foreignKeySerde = serdes.right.key;
  const subscriber = declaration.processor({
    name: declaration.stepName('KTABLE-FK-JOIN-SUBSCRIPTION', `${name}-subscription-registration`),
    what,
    parents: [left.node],
    create: subscribe({
      ...step,
      step: name,
      keySerde: serdes.left.key,
      valueSerde: serdes.left.value,
      foreignKeySerde,
    }),
    onError,
  });
  const registration = channel(declaration, name, {
    kind: 'subscription-registration-topic',
    from: [subscriber],
    writtenKey: foreignKeySerde,
    readKey: foreignKeySerde,
    value: subscriptionSerde,
    partitioner:
      otherPartitioner === undefined
        ? undefined
        : (key, _value, partitions) => (key === null ? undefined : otherPartitioner(key, partitions)),
  });
  const store = defineStore(`${name}-subscription-store`, { key: bytesSerde, value: subscriptionSerde, ordered: true });
  const receiver = declaration.processor({
    name: declaration.stepName('KTABLE-FK-JOIN-RECEIVE', `${name}-subscription-receive`),
    what,
    parents: [registration],
    create: receiveSubscription(store.name, foreignKeySerde, right.view),
    stores: [store],
    reads: right.view.stores,
    onError,
  });
  const changes = declaration.processor({
    name: declaration.stepName('KTABLE-FK-JOIN-FOREIGN', `${name}-foreign-join-subscription`),
    what,
    parents: [right.node],
    create: answerSubscribers(store.name, foreignKeySerde),
    reads: [store.name],
    onError,
  });
  return [receiver, changes];
}

/** Writes to a topic of the join and reads it again; returns the step that reads. */
function channel(
  declaration: Declaration,
  name: string,
  { kind, from, writtenKey, readKey, value, partitioner }: Channel,
): string {
  declaration.repartition({ name, kind }, 'a foreign-key join');
  const topic = Object.freeze({ name, internal: kind });
  const step = kind.replace(/-topic$/, '');
  declaration.sink({
    kind: 'sink',
    name: declaration.stepName('KTABLE-SINK', `${name}-${step}-sink`),
    parents: from,
    stores: [],
    topic,
    key: writtenKey,
    value,
    ...(partitioner === undefined ? {} : { partitioner }),
  });
  return declaration.source({
    kind: 'source',
    name: declaration.stepName('KTABLE-SOURCE', `${name}-${step}-source`),
    parents: [],
    stores: [],
    topics: Object.freeze([topic]),
    key: readKey,
    value,
    timestamp: recordTimestamp,
    offsetReset: 'earliest',
    // Only this application writes here: what cannot be read is a fault, not bad input.
    onError: 'fail',
  });
}
