/**
 * What the two sides of a foreign-key join tell each other, in Kafka Streams' formats:
 *
 *     subscription   version (1), highest bit set without hash ‖ instruction ‖ hash (16) ‖ primary key ‖ int32 primary partition
 *     response       version (0), highest bit set without hash ‖ hash (16) ‖ value; no value: null
 *     stored under   int32 length of the foreign key ‖ foreign key ‖ primary key
 *
 * The hash is that of the row that subscribes: an answer to what the row was meanwhile is told by it. Version 0 of a subscription has no partition.
 */
import { StreamError } from '../errors.ts';
import type { Serde } from '../schemas/serde.ts';

/** What becomes of a subscription, and who hears of it. */
export const instruction = {
  remove: 0,
  removeAndAnswer: 1,
  answer: 2,
  answerIfPresent: 3,
} as const;

export type Instruction = (typeof instruction)[keyof typeof instruction];

export interface Subscription {
  readonly instruction: Instruction;
  /** Of the subscribing row; `undefined` if it is gone. */
  readonly hash: Uint8Array | undefined;
  readonly primaryKey: Uint8Array;
  /** Where the answer goes to; `undefined`: to the partition of the primary key. */
  readonly partition: number | undefined;
}

export interface SubscriptionResponse {
  readonly hash: Uint8Array | undefined;
  /** The row of the other table; null if there is none. */
  readonly value: unknown;
  /** Of the primary key; not written. */
  readonly partition: number | undefined;
}

const hashBytes = 16;
const withoutHash = 0x80;
const instructions: readonly Instruction[] = Object.values(instruction);

export const subscriptionSerde: Serde<Subscription> = {
  name: 'subscription',
  serialize: ({ hash, primaryKey, partition, ...what }) => {
    const version = partition === undefined ? 0 : 1;
    return Buffer.concat([
      Buffer.of(hash === undefined ? version | withoutHash : version, what.instruction),
      ...(hash === undefined ? [] : [hash]),
      primaryKey,
      ...(partition === undefined ? [] : [int32(partition)]),
    ]);
  },
  deserialize: (bytes) => {
    const { version, hash, rest } = readHead(bytes, 1, 2);
    const found = instructions.find((candidate) => candidate === bytes[1]);
    const end = rest.length - (version === 0 ? 0 : 4);
    if (found === undefined || end < 0) throw malformed('subscription');
    const partition = version === 0 ? undefined : Buffer.from(rest.subarray(end)).readInt32BE(0);
    return { instruction: found, hash, primaryKey: rest.subarray(0, end), partition };
  },
};

export function responseSerde(value: Serde<unknown>): Serde<SubscriptionResponse> {
  return {
    name: `response of ${value.name}`,
    serialize: (response) =>
      Buffer.concat([
        Buffer.of(response.hash === undefined ? withoutHash : 0),
        ...(response.hash === undefined ? [] : [response.hash]),
        ...(response.value === null ? [] : [value.serialize(response.value)]),
      ]),
    deserialize: (bytes) => {
      const { hash, rest } = readHead(bytes, 0, 1);
      return { hash, value: rest.length === 0 ? null : value.deserialize(rest), partition: undefined };
    },
    ...(value.prepare === undefined
      ? {}
      : {
          prepare: async (values) => {
            const parts = values.map((bytes) => readHead(bytes, 0, 1).rest);
            await value.prepare?.(parts.filter((rest) => rest.length > 0));
          },
        }),
  };
}

/** All subscriptions to a foreign key lie under this prefix, in the order of their primary keys. */
export function subscriptionPrefix(foreignKey: Uint8Array): Uint8Array {
  return Buffer.concat([int32(foreignKey.length), foreignKey]);
}

function readHead(bytes: Uint8Array, versionMax: number, headBytes: number) {
  const [first] = bytes;
  if (first === undefined || bytes.length < headBytes) throw malformed('message of a foreign-key join');
  const version = first & ~withoutHash;
  if (version > versionMax) throw malformed(`message of a foreign-key join of version ${String(version)}`);
  const hasHash = (first & withoutHash) === 0;
  const restAt = headBytes + (hasHash ? hashBytes : 0);
  if (bytes.length < restAt) throw malformed('message of a foreign-key join');
  return { version, hash: hasHash ? bytes.subarray(headBytes, restAt) : undefined, rest: bytes.subarray(restAt) };
}

function int32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeInt32BE(value, 0);
  return bytes;
}

function malformed(what: string): StreamError {
  return new StreamError('DESERIALIZATION_FAILED', `not a readable ${what}`);
}
