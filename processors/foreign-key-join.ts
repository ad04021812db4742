/**
 * The join of a table with the rows that its own rows refer to. A row subscribes at the partition of its foreign key; there, the row it refers
 * to is looked up and every later change of it is sent back to the partition of the subscriber, where the two are joined.
 */
import type { Serde } from '../schemas/serde.ts';
import { murmur3 } from '../schemas/murmur3.ts';
import type { OrderedState } from '../state-stores/typed-store.ts';
import type { AnyRecord, CreateNode } from './node.ts';
import {
  instruction,
  subscriptionPrefix,
  type Instruction,
  type Subscription,
  type SubscriptionResponse,
} from './subscription.ts';
import { changeOf, type Row, type TableView } from './table.ts';
import { expectResult, type UserFunction } from './user-function.ts';

/** What the subscribing side is made of. */
export interface Subscriber {
  readonly step: string;
  /** The foreign key of a row, null for none. */
  readonly foreignKey: UserFunction<[value: unknown, key: unknown], unknown>;
  readonly foreignKeySerde: Serde<unknown>;
  readonly keySerde: Serde<unknown>;
  readonly valueSerde: Serde<unknown>;
  /** Whether a row without a counterpart has a result. */
  readonly isLeft: boolean;
}

/** A foreign key with its bytes, to be told apart by. */
interface ForeignKey {
  readonly key: unknown;
  readonly bytes: Uint8Array;
}

/** A subscription to send. */
type Order = readonly [to: ForeignKey | undefined, what: Instruction];

/** Changes of rows become subscriptions, keyed by foreign key. */
export function subscribe(subscriber: Subscriber): CreateNode {
  const { step, keySerde, valueSerde, foreignKeySerde, isLeft } = subscriber;
  const foreignKeyOf = (value: unknown, key: unknown): ForeignKey | undefined => {
    if (value === null) return undefined;
    const foreignKey = expectResult(step, subscriber.foreignKey(value, key));
    return foreignKey === null ? undefined : { key: foreignKey, bytes: foreignKeySerde.serialize(foreignKey) };
  };
  const hashOf = (value: unknown): Subscription['hash'] =>
    value === null ? undefined : murmur3(valueSerde.serialize(value));
  // Such a row has no counterpart to be joined with, and never will have.
  const lacksCounterpart = ({ after }: Reference): boolean => !isLeft && after === undefined;
  const ordersOf = isLeft ? leftOrders : innerOrders;
  return (context) => ({
    process: (record) => {
      const { newValue, oldValue, isLatest } = changeOf(record);
      if (isLatest === false) {
        context.drop('stale');
        return;
      }
      if (newValue === null && oldValue === null) return;
      const reference = { before: foreignKeyOf(oldValue, record.key), after: foreignKeyOf(newValue, record.key) };
      if (newValue !== null && lacksCounterpart(reference)) context.drop('null-key');
      const hash = hashOf(newValue);
      const primaryKey = keySerde.serialize(record.key);
      for (const [to, what] of ordersOf(reference)) {
        const value: Subscription = { instruction: what, hash, primaryKey, partition: context.partition };
        context.forward(withKeyAndValue(record, to?.key ?? null, value));
      }
    },
  });
}

/** What a row referred and refers to. */
interface Reference {
  readonly before: ForeignKey | undefined;
  readonly after: ForeignKey | undefined;
}

/** An answer is asked for where the result may change. */
function innerOrders({ before, after }: Reference): readonly Order[] {
  if (after === undefined) return before === undefined ? [] : [[before, instruction.removeAndAnswer]];
  if (before === undefined || isSame(before, after)) return [[after, instruction.answerIfPresent]];
  return [
    [before, instruction.remove],
    [after, instruction.answer],
  ];
}

/** Each change of a row changes the result, so each asks for an answer: without a foreign key from wherever that is sent to. */
function leftOrders({ before, after }: Reference): readonly Order[] {
  const move: readonly Order[] = before === undefined || isSame(before, after) ? [] : [[before, instruction.remove]];
  return [...move, [after, instruction.answer]];
}

function isSame(a: ForeignKey, b: ForeignKey | undefined): boolean {
  return b !== undefined && Buffer.compare(a.bytes, b.bytes) === 0;
}

/** Subscriptions of all rows that refer to the rows of this partition, by foreign and primary key. */
export type SubscriptionState = OrderedState<Uint8Array, Subscription>;

/** Keeps or removes a subscription, and answers it by the row it refers to as it is now. */
export function receiveSubscription(store: string, foreignKeySerde: Serde<unknown>, table: TableView): CreateNode {
  return (context) => {
    const subscriptions = context.store(store) as SubscriptionState;
    const read = table.open(context);
    return {
      process: (record) => {
        const subscription = record.value as Subscription;
        const { key } = record;
        if (key === null && subscription.instruction !== instruction.answer) {
          context.drop('null-key');
          return;
        }
        if (key !== null) keep(subscriptions, foreignKeySerde.serialize(key), subscription);
        const row = key === null ? undefined : read(key);
        if (isAnswered(subscription.instruction, row)) context.forward(answer(record, subscription, row));
      },
    };
  };
}

function keep(subscriptions: SubscriptionState, foreignKey: Uint8Array, subscription: Subscription): void {
  const key = Buffer.concat([subscriptionPrefix(foreignKey), subscription.primaryKey]);
  const { remove, removeAndAnswer } = instruction;
  if (subscription.instruction === remove || subscription.instruction === removeAndAnswer) subscriptions.delete(key);
  else subscriptions.put(key, subscription);
}

function isAnswered(what: Instruction, row: Row | undefined): boolean {
  return what === instruction.answerIfPresent ? row !== undefined : what !== instruction.remove;
}

function answer(record: AnyRecord, subscription: Subscription, row: Row | undefined): AnyRecord {
  const { hash, primaryKey, partition } = subscription;
  const isGone = row === undefined || subscription.instruction === instruction.removeAndAnswer;
  const value: SubscriptionResponse = { hash, value: isGone ? null : row.value, partition };
  const timestampMs = row === undefined ? record.timestampMs : Math.max(record.timestampMs, row.timestampMs);
  return { ...withKeyAndValue(record, primaryKey, value), timestampMs };
}

/** Tells all subscribers of a row what it is now, in the order of their keys. */
export function answerSubscribers(store: string, foreignKeySerde: Serde<unknown>): CreateNode {
  return (context) => {
    const subscriptions = context.store(store) as SubscriptionState;
    return {
      process: (record) => {
        const { newValue, isLatest } = changeOf(record);
        if (record.key === null || isLatest === false) {
          context.drop(record.key === null ? 'null-key' : 'stale');
          return;
        }
        const prefix = subscriptionPrefix(foreignKeySerde.serialize(record.key));
        for (const [, { hash, primaryKey, partition }] of subscriptions.prefix(prefix)) {
          const value: SubscriptionResponse = { hash, value: newValue, partition };
          context.forward(withKeyAndValue(record, primaryKey, value));
        }
      },
    };
  };
}

/** How answers become rows. */
export interface Resolution {
  readonly step: string;
  readonly valueSerde: Serde<unknown>;
  readonly joiner: UserFunction<[value: unknown, other: unknown, key: unknown], unknown>;
  readonly isLeft: boolean;
}

/** Joins an answer with the row that asked, if that is still what it was then. */
export function resolveResponse(table: TableView, { step, valueSerde, joiner, isLeft }: Resolution): CreateNode {
  return (context) => {
    const read = table.open(context);
    return {
      process: (record) => {
        const response = record.value as SubscriptionResponse;
        const row = read(record.key);
        const hash = row === undefined ? undefined : murmur3(valueSerde.serialize(row.value));
        if (!isSameHash(hash, response.hash)) {
          context.drop('stale');
          return;
        }
        const hasResult = row !== undefined && (isLeft || response.value !== null);
        const value = hasResult ? expectResult(step, joiner(row.value, response.value, record.key)) : null;
        context.forward(withKeyAndValue(record, record.key, value));
      },
    };
  };
}

function isSameHash(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return Buffer.compare(a, b) === 0;
}

function withKeyAndValue(record: AnyRecord, key: unknown, value: unknown): AnyRecord {
  return { key, value, timestampMs: record.timestampMs, headers: record.headers };
}
