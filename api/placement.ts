/** Finds out which instance answers for a partition of a store: one of this process, or a peer one hop away. */
import type { Clock } from '../clock.ts';
import { StreamError, hasCode } from '../errors.ts';
import { partitionId } from '../schemas/record.ts';
import type { InstanceView, Peer, StoreLocation, StoreView } from '../topology/runtime/view.ts';
import type { SubTopology } from '../topology/plan.ts';
import { limits } from './limits.ts';
import { isReached, type PositionVector } from './position.ts';
import { misdirected, unavailable } from './problem.ts';

/** What a query is allowed and obliged to do. */
export interface QueryContext {
  readonly correlationId: string;
  /** Aborts when the client is gone or its time is up. */
  readonly signal: AbortSignal;
  /** It came from another instance: answered here or not at all. */
  readonly isForwarded: boolean;
  /** The answer must reflect at least these input offsets. */
  readonly minPosition: PositionVector | undefined;
  /** How long to wait for them. */
  readonly waitMs: number;
  /** A copy that follows may answer, if the answer says so; never where `minPosition` is asked for, which copies know nothing of. */
  readonly allowsStale: boolean;
}

export type Place =
  | { readonly kind: 'local'; readonly view: InstanceView }
  | { readonly kind: 'standby'; readonly view: InstanceView }
  | { readonly kind: 'peer'; readonly instanceId: string; readonly url: string };

/** The instances of this process that know a store; they belong to one application. Throws `STORE_UNKNOWN`, `STORE_NOT_READY` while there are none yet. */
export function viewsOf(instances: readonly InstanceView[], store: string): readonly InstanceView[] {
  if (instances.length === 0) throw new StreamError('STORE_NOT_READY', 'this process is starting');
  const views = instances.filter((view) => view.storeNames().includes(store));
  if (views.length === 0) throw new StreamError('STORE_UNKNOWN', 'no such store');
  return views;
}

/** Refuses two applications with stores of one name in a process: a URL could not tell them apart. Throws `CONFIG_INVALID`. */
export function checkStoreNames(instances: readonly InstanceView[]): void {
  const owners = new Map<string, string>();
  for (const { applicationId, names } of instances.map((view) => ({
    applicationId: view.applicationId,
    names: view.storeNames(),
  })))
    for (const name of names) {
      const owner = owners.get(name) ?? applicationId;
      if (owner !== applicationId)
        throw new StreamError('CONFIG_INVALID', `the store ${name} exists in ${owner} and in ${applicationId}`);
      owners.set(name, owner);
    }
}

/** Asks the instances in turn: in one process, one may know the assignment while another is joining. */
export function ask<T>(views: readonly InstanceView[], question: (view: InstanceView) => T): T {
  let refusal: unknown;
  for (const view of views) {
    try {
      return question(view);
    } catch (error) {
      if (!hasCode(error, 'STORE_NOT_READY')) throw error;
      refusal = error;
    }
  }
  throw refusal;
}

/**
 * Where to ask: the owner if it is here, else a copy here if that will do, else the owner, else, if that will do, whoever has a copy. `unreachable` are
 * instances that did not answer before. Throws `STORE_NOT_READY` while there is no such place, 421 for a forwarded request that belongs elsewhere.
 */
export function placeOf(
  views: readonly InstanceView[],
  location: StoreLocation,
  context: QueryContext,
  unreachable: ReadonlySet<string> = new Set(),
): Place {
  const { owner } = location;
  const standbys = allowsStandby(context) ? location.standbys : [];
  const here = localPlace(views, owner, standbys);
  if (here !== undefined) return here;
  const peers = [owner, ...standbys].filter((peer) => peer !== undefined);
  if (peers.length === 0) throw new StreamError('STORE_NOT_READY', 'nobody owns the partition now');
  if (context.isForwarded) throw misdirected();
  const reachable = peers.filter(({ url, instanceId }) => url !== undefined && !unreachable.has(instanceId));
  const peer = reachable[0] ?? peers[0];
  if (peer?.url === undefined) throw new StreamError('PEER_UNAVAILABLE', 'the owner advertises no address');
  return { kind: 'peer', instanceId: peer.instanceId, url: peer.url };
}

function localPlace(
  views: readonly InstanceView[],
  owner: Peer | undefined,
  standbys: readonly Peer[],
): Place | undefined {
  const viewOf = (peer: Peer | undefined): InstanceView | undefined =>
    views.find(({ instanceId }) => instanceId === peer?.instanceId);
  const view = viewOf(owner);
  if (view !== undefined) return { kind: 'local', view };
  const copy = standbys.map(viewOf).find((candidate) => candidate !== undefined);
  return copy === undefined ? undefined : { kind: 'standby', view: copy };
}

function allowsStandby({ allowsStale, minPosition }: QueryContext): boolean {
  return allowsStale && (minPosition === undefined || minPosition.size === 0);
}

/** Repeats `attempt` while the store is not ready, within the bounds of the API; then the last refusal counts. */
export async function untilReady<T>(clock: Clock, context: QueryContext, attempt: () => Promise<T>): Promise<T> {
  const untilMs = clock.monotonicMs() + limits.notReadyWaitMs;
  while (true) {
    try {
      return await attempt();
    } catch (error) {
      const mayPass = hasCode(error, 'STORE_NOT_READY', 'STORE_NOT_OPEN', 'TASK_MIGRATED', 'PEER_UNAVAILABLE');
      if (!mayPass || clock.monotonicMs() >= untilMs) throw error;
      await clock.sleep(limits.notReadyStepMs, context.signal);
      if (context.signal.aborted) throw error;
    }
  }
}

/**
 * Waits until a local partition reflects what the client asks for. Throws 503 `position_not_reached` when that takes too long,
 * `QUERY_INVALID` for a vector of topics that the store does not read: waiting for those would promise what nobody keeps.
 */
export async function awaitPosition(
  clock: Clock,
  context: QueryContext,
  local: { readonly view: InstanceView; readonly store: string; readonly storeView: StoreView },
): Promise<void> {
  const wanted = context.minPosition;
  if (wanted === undefined || wanted.size === 0) return;
  const inputs = inputsOf(local.view, local.store, local.storeView.partition, wanted);
  const untilMs = clock.monotonicMs() + context.waitMs;
  while (!isReached(local.storeView.position(), wanted, inputs)) {
    if (clock.monotonicMs() >= untilMs || context.signal.aborted)
      throw unavailable('position_not_reached', 'the store does not reflect X-Min-Position yet');
    await clock.sleep(limits.positionStepMs, context.signal);
  }
}

/** The input partitions of the task behind a store partition. */
function inputsOf(view: InstanceView, store: string, partition: number, wanted: PositionVector): ReadonlySet<string> {
  const { plan } = view;
  if (plan === undefined) throw new StreamError('STORE_NOT_READY', 'the plan is not known yet');
  const keeps = (part: SubTopology): boolean => part.stores.some(({ spec }) => spec.name === store);
  const topics = plan.subTopologies.filter(keeps).flatMap((part) => part.sourceTopics);
  const globals = plan.globals.filter(keeps);
  topics.push(...globals.flatMap((part) => part.sourceTopics));
  for (const id of wanted.keys())
    if (!topics.includes(id.slice(0, id.lastIndexOf('/'))))
      throw new StreamError('QUERY_INVALID', 'X-Min-Position names a topic that the store does not read');
  const partitionsOf = (topic: string): readonly number[] =>
    globals.length === 0 ? [partition] : [...Array(plan.partitions.get(topic) ?? 0).keys()];
  return new Set(topics.flatMap((topic) => partitionsOf(topic).map((each) => partitionId(topic, each))));
}
