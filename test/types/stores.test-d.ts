/** Checked by the compiler alone: what is known of a declared store. Never run. */
import {
  defineStore,
  defineTimestampedStore,
  defineVersionedStore,
  int64Serde,
  jsonSerde,
  stringSerde,
  type KeyValueState,
  type StateOf,
  type StoreKey,
  type StoreValue,
  type TimestampedState,
  type VersionedState,
} from '../../index.ts';
import { exactly } from './expect.ts';

interface Town {
  readonly name: string;
}

export const towns = defineStore('towns', { key: int64Serde, value: jsonSerde<Town>() });
export const latest = defineTimestampedStore('latest', { key: stringSerde, value: jsonSerde<Town>() });
export const history = defineVersionedStore('history', { key: stringSerde, value: int64Serde, historyRetentionMs: 10 });

declare const townsKey: StoreKey<typeof towns>;
declare const townsValue: StoreValue<typeof towns>;
declare const townsState: StateOf<typeof towns>;
declare const latestState: StateOf<typeof latest>;
declare const historyValue: StoreValue<typeof history>;
declare const historyState: StateOf<typeof history>;

exactly<number>()(townsKey);
exactly<Town>()(townsValue);
exactly<KeyValueState<number, Town>>()(townsState);
exactly<TimestampedState<string, Town>>()(latestState);
exactly<number>()(historyValue);
exactly<VersionedState<string, number>>()(historyState);
// @ts-expect-error the value is no text
exactly<string>()(historyValue);
