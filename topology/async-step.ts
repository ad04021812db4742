/** Declares steps that wait for an author's asynchronous function. */
import { mapAsync, type AsyncCall, type AsyncLimits } from '../processors/map-async.ts';
import type { AnyRecord } from '../processors/node.ts';
import { pendingRecordSerde } from '../processors/pending-record.ts';
import type { UserFunction } from '../processors/user-function.ts';
import { int64Serde, type Serde } from '../schemas/serde.ts';
import { defineStore } from '../state-stores/spec.ts';
import type { StreamState } from './handle-state.ts';
import type { AsyncOptions, SerdeOptions } from './operands.ts';
import { requireSerdes } from './repartition.ts';

const defaults = { concurrency: 100, pendingMax: 1_000, timeoutMs: 30_000, backoffMsMax: 30_000 } as const;

interface AsyncDeclaration {
  readonly name: string;
  readonly what: string;
  readonly call: UserFunction<[value: unknown, key: unknown, call: AsyncCall], Promise<unknown>>;
  readonly toRecord: (step: string, record: AnyRecord, result: unknown) => AnyRecord;
}

/** The node of the step. Throws `TOPOLOGY_INVALID` for a limit that is none, and without serdes of what comes in. */
export function declareAsync<K, V>(
  stream: StreamState<K, V>,
  { name, what, call, toRecord }: AsyncDeclaration,
  options: AsyncOptions<K, V>,
): string {
  const { declaration } = stream;
  const { key, value } = requireSerdes(name, {
    declaration,
    key: options.keySerde ?? stream.key,
    value: options.valueSerde ?? stream.value,
  });
  const { order = 'offset', onFailure = 'fail' } = options;
  const how = { store: name, order, onFailure, call, toRecord, ...limitsOf(stream, name, options) };
  return declaration.processor({
    name: declaration.stepName('KSTREAM-ASYNC', name),
    what,
    parents: [stream.node],
    create: mapAsync(name, how, keyIdOf(key)),
    stores: [defineStore(name, { ordered: true, key: int64Serde, value: pendingRecordSerde(key, value) })],
    onError: stream.onError,
  });
}

const noRetry = { attempts: 0, backoffMs: 1 } as const;

function limitsOf(
  { declaration }: StreamState<unknown, unknown>,
  name: string,
  options: Omit<AsyncOptions<never, never>, keyof SerdeOptions<never, never>>,
): AsyncLimits {
  const { concurrency, pendingMax, timeoutMs, retry, backoffMsMax } = { ...defaults, retry: noRetry, ...options };
  const { attempts, backoffMs, ...more } = retry;
  const limits = { concurrency, pendingMax, timeoutMs, attemptsMax: 1 + attempts, backoffMs, backoffMsMax, ...more };
  for (const [limit, given] of Object.entries(limits))
    if (!Number.isSafeInteger(given) || given < 1)
      throw declaration.refuse(name, `has a limit that is no whole number of at least 1: ${limit}`);
  return limits;
}

/** Keys are equal if they are written alike. */
function keyIdOf<K>(serde: Serde<K>): (key: unknown) => string {
  // The stream's own keys.
  return (key) => (key === null ? 'none' : `of ${Buffer.from(serde.serialize(key as K)).toString('latin1')}`);
}
