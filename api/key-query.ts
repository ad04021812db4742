/** One key of one store, wherever it lives. */
import { StreamError, hasCode } from '../errors.ts';
import type { Clock } from '../clock.ts';
import type { InstanceView } from '../topology/runtime/view.ts';
import { limits } from './limits.ts';
import type { Peers } from './peers.ts';
import { ask, awaitPosition, placeOf, untilReady, viewsOf, type Place, type QueryContext } from './placement.ts';
import { formatPosition } from './position.ts';
import { refusalOf, stringOf, objectOf } from './peer-answer.ts';
import { hex } from './render.ts';
import type { Staleness } from './staleness.ts';

/** What queries need; made once. */
export interface QueryDependencies {
  readonly instances: readonly InstanceView[];
  readonly peers: Peers;
  readonly clock: Clock;
}

export interface KeyQuery {
  readonly store: string;
  /** Serialised. */
  readonly key: Uint8Array;
  /** Epoch ms: the version that was valid then; for stores that keep versions. */
  readonly asOfMs?: number | undefined;
}

export interface KeyAnswer {
  /** As stored; `undefined`: the owner runs and does not have the key. */
  readonly value: Uint8Array | undefined;
  /** Offset vector of the partition that answered, as text. */
  readonly position: string;
  readonly servedBy: string;
  /** Set when a copy answered. */
  readonly staleness?: Staleness | undefined;
}

/** Looks a serialised key up. Waits a little for a store that is not ready, then rejects with `STORE_NOT_READY`: an absent value is never a guess. */
export async function queryKey(
  dependencies: QueryDependencies,
  query: KeyQuery,
  context: QueryContext,
): Promise<KeyAnswer> {
  const { store, key } = query;
  const views = viewsOf(dependencies.instances, store);
  const unreachable = new Set<string>();
  return untilReady(dependencies.clock, context, async () => {
    const location = ask(views, (view) => view.locate(store, key));
    const place = placeOf(views, location, context, unreachable);
    if (place.kind === 'standby') return readStandby(place.view, location.partition, query);
    if (place.kind === 'local')
      return readLocal(dependencies, { view: place.view, partition: location.partition, query }, context);
    try {
      return await readPeer(dependencies, place, query, context);
    } catch (error) {
      if (hasCode(error, 'PEER_UNAVAILABLE')) unreachable.add(place.instanceId);
      throw error;
    }
  });
}

function readStandby(view: InstanceView, partition: number, { store, key, asOfMs }: KeyQuery): KeyAnswer {
  const copy = view.standbyStore(store, partition);
  return { value: copy.get(key, asOfMs), position: '', servedBy: view.instanceId, staleness: { lag: copy.lag() } };
}

async function readLocal(
  { clock }: QueryDependencies,
  { view, partition, query }: { readonly view: InstanceView; readonly partition: number; readonly query: KeyQuery },
  context: QueryContext,
): Promise<KeyAnswer> {
  const { store, key, asOfMs } = query;
  const storeView = view.localStore(store, partition);
  await awaitPosition(clock, context, { view, store, storeView });
  // Both in one turn: the position is the value's.
  const value = storeView.get(key, asOfMs);
  return { value, position: formatPosition(storeView.position()), servedBy: view.instanceId };
}

async function readPeer(
  { peers }: QueryDependencies,
  place: Extract<Place, { kind: 'peer' }>,
  { store, key, asOfMs }: KeyQuery,
  context: QueryContext,
): Promise<KeyAnswer> {
  const asOf = asOfMs === undefined ? '' : `&asOf=${String(asOfMs)}`;
  const answer = await peers.get(place.url, {
    path: `/stores/${store}/0x${hex(key)}?keyFormat=hex&valueFormat=base64&wait=${context.waitMs}${staleParameter(context)}${asOf}`,
    correlationId: context.correlationId,
    minPosition: context.minPosition === undefined ? undefined : formatPosition(context.minPosition),
    deadlineMs: limits.peerDeadlineMs + (context.minPosition === undefined ? 0 : context.waitMs),
    signal: context.signal,
  });
  const servedBy = answer.servedBy === '' ? place.instanceId : answer.servedBy;
  const found = { position: answer.position, servedBy, staleness: answer.staleness };
  if (answer.status === 200)
    return { value: Buffer.from(stringOf(objectOf(answer.body)['value']), 'base64'), ...found };
  const refusal = refusalOf(answer);
  if (refusal === 'key_not_found') return { value: undefined, ...found };
  throw refusal instanceof Error ? refusal : new StreamError('PEER_UNAVAILABLE', 'the owner answers with an error');
}

/** For a request to another instance: only where it changes something, so that versions understand each other. */
export function staleParameter({ allowsStale }: QueryContext): string {
  return allowsStale ? '&stale=ok' : '';
}
