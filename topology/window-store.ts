/** The store behind a windowed aggregation: from its name and what is known of the step, or as the author declared it. */
import {
  retentionOf,
  type EmitStrategy,
  type SessionWindows,
  type SlidingWindows,
  type TimeWindows,
} from '../processors/windows.ts';
import type { Serde } from '../schemas/serde.ts';
import {
  defineSessionStore,
  defineWindowStore,
  type GroupedStoreSettings,
  type SessionStoreSpec,
  type WindowStoreSpec,
} from '../state-stores/window-spec.ts';
import type { Declaration } from './declaration.ts';
import { requireSerdes } from './repartition.ts';

/** The store of windows or sessions by its name, where its kind follows from the step. */
export interface WindowedStoreOptions {
  readonly name: string;
  /** How long rows are kept; by default as long as anything can change them. Less is refused. */
  readonly retentionMs?: number;
  /** `false`: not logged; configurations are added to those of the changelog. */
  readonly changelog?: boolean | Readonly<Record<string, string>>;
  /** With `on-close`: windows that may wait to close, per task. One more fails. */
  readonly openWindowsMax?: number;
}

/** The name of a store, or a declared one. */
export type WindowStoreFor<K, A> = string | WindowedStoreOptions | WindowStoreSpec<K, A>;
export type SessionStoreFor<K, A> = string | WindowedStoreOptions | SessionStoreSpec<K, A>;

interface Known<K, A, W> {
  readonly declaration: Declaration;
  readonly key: Serde<K> | undefined;
  readonly value: Serde<A> | undefined;
  readonly windows: W;
  readonly emit: EmitStrategy;
  /** The value serde gives back exactly what it was given. */
  readonly isExact: boolean;
}

/** Throws `TOPOLOGY_INVALID` naming the store if a serde is missing, or it cannot hold these windows. */
export function windowStore<K, A>(
  store: WindowStoreFor<K, A>,
  known: Known<K, A, TimeWindows | SlidingWindows>,
): WindowStoreSpec<K, A> {
  const { windows, declaration } = known;
  const sizeMs = windows.kind === 'time' ? windows.sizeMs : windows.differenceMs;
  const spec = isSpec(store) ? store : defineWindowStore(nameOf(store), { ...settings(store, known), sizeMs });
  if (spec.windows.sizeMs !== sizeMs) throw declaration.refuse(spec.name, 'has a store for windows of another size');
  checkRetention(spec.name, spec.windows, known);
  return spec;
}

/** Throws `TOPOLOGY_INVALID` naming the store if a serde is missing, or it cannot hold these sessions. */
export function sessionStore<K, A>(
  store: SessionStoreFor<K, A>,
  known: Known<K, A, SessionWindows>,
): SessionStoreSpec<K, A> {
  const spec = isSpec(store) ? store : defineSessionStore(nameOf(store), settings(store, known));
  checkRetention(spec.name, spec.sessions, known);
  return spec;
}

function isSpec<S extends { readonly open: unknown }>(store: string | WindowedStoreOptions | S): store is S {
  return typeof store !== 'string' && 'open' in store;
}

function nameOf(store: string | WindowedStoreOptions): string {
  return typeof store === 'string' ? store : store.name;
}

function settings<K, A>(
  store: string | WindowedStoreOptions,
  known: Known<K, A, TimeWindows | SlidingWindows | SessionWindows>,
): GroupedStoreSettings<K, A> {
  const serdes = requireSerdes(nameOf(store), known);
  const options: Partial<WindowedStoreOptions> = typeof store === 'string' ? {} : store;
  const { retentionMs = retentionOf(known.windows), changelog, openWindowsMax } = options;
  return {
    ...serdes,
    retentionMs,
    ...(changelog === undefined ? {} : { changelog }),
    cache: { keepsPutValues: known.isExact },
    byTime: known.emit === 'on-close',
    ...(openWindowsMax === undefined ? {} : { byTimeRowsMax: openWindowsMax }),
  };
}

function checkRetention(
  name: string,
  { retentionMs, byTime }: { readonly retentionMs: number; readonly byTime: boolean },
  { declaration, windows, emit }: Known<unknown, unknown, TimeWindows | SlidingWindows | SessionWindows>,
): void {
  const leastMs = retentionOf(windows);
  if (retentionMs < leastMs)
    throw declaration.refuse(name, `keeps windows for ${String(retentionMs)} ms, but needs ${String(leastMs)}`);
  if (emit === 'on-close' && !byTime)
    throw declaration.refuse(name, 'emits on close: its store must be declared with byTime');
}
