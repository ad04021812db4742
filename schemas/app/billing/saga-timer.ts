/** The rows of the store `saga-timers`: sagas that wait, by when they are to be looked at, and behind them those that are stuck. */
import { canonicalJsonSerde, type Serde } from '../../../index.ts';
import { readObject } from '../reader.ts';
import { readId } from './names.ts';

export interface SagaTimer {
  readonly txId: string;
}

export const sagaTimerSerde: Serde<SagaTimer> = canonicalJsonSerde((value): SagaTimer => ({
  txId: readObject(value, 'saga timer').with('txId', readId),
}));

/** Of a saga that waits: `<16 digits of ms>|<txId>`. */
export function timerKey(atMs: number, txId: string): string {
  return `${String(atMs).padStart(16, '0')}|${txId}`;
}

/** Of sagas that are stuck; behind any time, so that they never come due. */
export const stuckPrefix = 'stuck|';

/** `state`: the one in which it got stuck. */
export function stuckKey(state: string, txId: string): string {
  return `${stuckPrefix}${state}|${txId}`;
}

/** When it is to be looked at, in ms; `undefined` for one that is stuck. */
export function timeOfKey(key: string): number | undefined {
  return key.startsWith(stuckPrefix) ? undefined : Number(key.slice(0, key.indexOf('|')));
}

/** Of the key of one that is stuck: the state in which it got so. */
export function stuckStateOf(key: string): string {
  return key.slice(stuckPrefix.length, key.indexOf('|', stuckPrefix.length));
}
