/**
 * Opens a task on this instance: stable committed offsets first, then its stores restored to the end, then it may run. Always in this order: any other
 * lets a commit of the previous owner slip in between.
 */
import { StreamError, hasCode, type Facts } from '../../errors.ts';
import type { PartitionOffsets } from '../../connectors/log.ts';
import type { PlannedStore, SubTopology } from '../plan.ts';
import { decodeMetadata } from './commit-metadata.ts';
import { backoffMs } from './options.ts';
import type { ResolvedOptions } from './options.ts';
import { sourceTopicsOfPartition } from './plan-tasks.ts';
import type { Prepared } from './prepare.ts';
import type { Restorer, RestoreProgress } from './restorer.ts';
import { TaskStore } from './task-store.ts';
import type { StartPosition } from './task-options.ts';

/** Bounds of LevelDB's memory for unflushed writes, per store. */
const writeBuffer = { min: 4 * 1024 * 1024, max: 8 * 1024 * 1024 } as const;
/** A store that restored at least this many records is compacted before it serves. */
const compactFromRecords = 100_000;
/** In transaction timeouts; the log looks for old transactions only now and then. */
const undecidedPatience = 3;

export interface Opening {
  readonly taskId: string;
  readonly subTopology: SubTopology;
  readonly partition: number;
  /** Aborts as soon as the task is not wanted here any more. */
  readonly signal: AbortSignal;
  readonly progress: RestoreProgress & { total: number };
  /** What is open of it so far. */
  readonly stores: Map<string, TaskStore>;
}

export interface Opened {
  readonly stores: ReadonlyMap<string, TaskStore>;
  readonly start: ReadonlyMap<string, StartPosition>;
}

export interface OpenStoreScope {
  readonly options: ResolvedOptions;
  readonly prepared: Prepared;
  /** What a topic takes in one record. */
  messageBytesMax(topic: string): number;
}

export interface TakeOverScope extends OpenStoreScope {
  readonly restorer: Restorer;
  /** Transactional ids of dead members, as the last assignment carried them. */
  deadTransactionalIds(): readonly string[];
  /** The open stores of a standby of the task on this instance, which is none any more then. */
  takeStandby(taskId: string): Promise<ReadonlyMap<string, TaskStore>>;
  closeStores(taskId: string, stores: Iterable<TaskStore>): Promise<void>;
}

/** Rejects with `TASK_MIGRATED` when cancelled; whatever was opened is closed again. */
export async function takeOver(scope: TakeOverScope, opening: Opening): Promise<Opened> {
  const start = await startOffsets(scope, opening);
  const { stores } = opening;
  try {
    for (const [name, store] of await scope.takeStandby(opening.taskId)) stores.set(name, store);
    if (stores.size > 0) scope.options.host.sometimes('standby-promoted');
    for (const planned of opening.subTopology.stores) {
      const { name } = planned.spec;
      if (!stores.has(name)) stores.set(name, await openStore(scope, { opening, planned }));
    }
    await restoreAll(scope, opening, start);
    for (const store of stores.values()) await store.load();
    return { stores: new Map(stores), start };
  } catch (error) {
    await scope.closeStores(opening.taskId, stores.values());
    throw error;
  } finally {
    stores.clear();
  }
}

// ---- committed offsets ---------------------------------------------------------------------------------------------

async function startOffsets(scope: TakeOverScope, opening: Opening): Promise<Opened['start']> {
  const { options, prepared } = scope;
  const { admin } = options.host.log;
  const inputs = sourceTopicsOfPartition(prepared.plan, opening.subTopology, opening.partition).map((topic) => ({
    topic,
    partition: opening.partition,
  }));
  const committed = await stableCommitted(scope, opening, inputs);
  const offsets = await admin.offsets(inputs);
  const start = new Map<string, StartPosition>();
  for (const [index, input] of inputs.entries()) {
    const known = committed[index];
    const range = offsets[index];
    if (range === undefined) continue;
    if (known === undefined)
      start.set(input.topic, { offset: resetOffset(opening, input.topic, range, prepared), partitionTimeMs: -1 });
    else
      start.set(input.topic, {
        offset: checkCommitted({ ...input, offset: known.offset, range }, options),
        ...decodeMetadata(known.metadata),
      });
  }
  return start;
}

async function stableCommitted(
  scope: TakeOverScope,
  opening: Opening,
  inputs: readonly { topic: string; partition: number }[],
) {
  const { host, applicationId } = scope.options;
  const undecided = new Undecided(scope.options, { taskId: opening.taskId, group: applicationId });
  for (let attempt = 0; ; attempt += 1) {
    checkWanted(opening);
    try {
      host.fault('before-committed');
      return await host.log.admin.committed(applicationId, inputs, { requireStable: true });
    } catch (error) {
      if (!hasCode(error, 'OFFSETS_UNSTABLE')) throw error;
      host.sometimes('offsets-unstable');
      undecided.look();
      await endDeadTransactions(scope, attempt);
      await host.clock.sleep(Math.min(20 * (attempt + 1), 500), opening.signal);
    }
  }
}

/** Says so, once, when something stays undecided for longer than any transaction of this application may: the log lost track of one, and waiting will not help. */
class Undecided {
  readonly #options: ResolvedOptions;
  readonly #facts: Facts;
  readonly #sinceMs: number;
  #isReported = false;

  constructor(options: ResolvedOptions, facts: Facts) {
    this.#options = options;
    this.#facts = facts;
    this.#sinceMs = options.host.clock.monotonicMs();
  }

  look(facts: Facts = {}): void {
    const { host, transactionTimeoutMs } = this.#options;
    const waitedMs = host.clock.monotonicMs() - this.#sinceMs;
    if (this.#isReported || waitedMs <= undecidedPatience * transactionTimeoutMs) return;
    this.#isReported = true;
    host.logger.error('a transaction stays open beyond its timeout: the log has to end it', {
      ...this.#facts,
      ...facts,
      waitedMs: Math.round(waitedMs),
    });
  }
}

/** Ends what dead members left open, instead of waiting for their transaction timeouts. Once per opening: a wrongly suspected member is fenced and rejoins. */
async function endDeadTransactions(scope: TakeOverScope, attempt: number): Promise<void> {
  if (attempt !== 1) return;
  const { host } = scope.options;
  for (const id of scope.deadTransactionalIds()) {
    host.logger.info('ending the open transaction of a member that is gone', { transactionalId: id });
    try {
      await host.log.admin.fence(id);
    } catch (error) {
      host.logger.warn('could not fence', {
        transactionalId: id,
        error: error instanceof Error ? error.message : 'unknown',
      });
    }
  }
}

function resetOffset(opening: Opening, topic: string, range: PartitionOffsets, prepared: Prepared): number {
  const reset = opening.subTopology.nodes.find(
    (node) =>
      node.kind === 'source' &&
      node.topics.some((reference) => prepared.plan.partitions.has(topic) && reference.name === topic),
  );
  return reset?.kind === 'source' && reset.offsetReset === 'latest' ? range.stable : range.start;
}

/** A committed offset beyond the end means another topic under the old name: state and input do not belong together any more. */
function checkCommitted(
  input: { topic: string; partition: number; offset: number; range: PartitionOffsets },
  options: ResolvedOptions,
): number {
  const { topic, partition, offset, range } = input;
  if (offset > range.end)
    throw new StreamError(
      'OFFSET_OUT_OF_RANGE',
      `committed offset of ${topic} lies beyond its end: the topic was recreated or truncated`,
      {
        facts: { topic, partition, offset, start: range.start, end: range.end },
      },
    );
  if (offset >= range.start) return offset;
  options.host.logger.error('records were removed before they were processed: going on at the start of the log', {
    topic,
    partition,
    offset,
    start: range.start,
  });
  return range.start;
}

// ---- stores ----------------------------------------------------------------------------------------------------------

/** Opens a store as far as its directory has it. Rejects with `TASK_MIGRATED` when cancelled. */
export async function openStore(
  scope: OpenStoreScope,
  wanted: { opening: Pick<Opening, 'taskId' | 'signal'>; planned: PlannedStore },
): Promise<TaskStore> {
  const { options, prepared } = scope;
  const { opening, planned } = wanted;
  const { stores, clock, logger } = options.host;
  const path = [options.applicationId, opening.taskId, planned.spec.name];
  const { changelogTopic } = planned;
  const identity = {
    application: options.applicationId,
    store: planned.spec.name,
    taskId: opening.taskId,
    format: planned.spec.format.version,
    changelog: changelogTopic === undefined ? '' : (prepared.changelogIds.get(changelogTopic) ?? ''),
  };
  for (let attempt = 0; ; attempt += 1) {
    checkWanted(opening);
    try {
      const backing = await stores.open(path, {
        identity,
        writeBufferBytes: writeBufferBytes(scope),
        nowMs: () => clock.nowMs(),
      });
      const isWritten = changelogTopic !== undefined && planned.source === undefined;
      const messageBytesMax = isWritten ? scope.messageBytesMax(changelogTopic) : Infinity;
      return new TaskStore(planned, backing, { messageBytesMax, cacheBytesMax: cacheBytes(scope) });
    } catch (error) {
      if (hasCode(error, 'STORE_FOREIGN', 'STORE_CORRUPT') && attempt < 3) {
        logger.error('store is foreign or damaged: rebuilding it from the changelog', { path, code: error.code });
        options.host.sometimes('store-rebuilt');
        await stores.destroy(path);
      } else if (hasCode(error, 'STORE_LOCKED')) await clock.sleep(backoffMs(attempt), opening.signal);
      else throw error;
    }
  }
}

/** Where to go on reading a changelog. Throws `STORE_FOREIGN` for a store that has to be rebuilt. */
export function checkPosition(
  scope: OpenStoreScope,
  store: TaskStore,
  range: PartitionOffsets & { readonly topic: string },
): number {
  const { host } = scope.options;
  const { position } = store;
  if (position === undefined) return range.start;
  if (position >= range.start && position <= range.end) {
    checkAge(scope, store, { topic: range.topic, unread: range.end - position });
    return position;
  }
  const facts = { store: store.name, position, start: range.start, end: range.end };
  host.logger.warn('store position lies outside its changelog: rebuilding', facts);
  host.sometimes('store-out-of-range');
  throw new StreamError('STORE_FOREIGN', `store ${store.name} does not belong to its changelog`, { facts });
}

/** Deletions that a store has not heard of may be compacted away by now: what was deleted would stay in it for ever. */
function checkAge(
  { options, prepared }: OpenStoreScope,
  store: TaskStore,
  { topic, unread }: { readonly topic: string; readonly unread: number },
): void {
  const { host, guarantee } = options;
  const { savedAtMs = 0 } = store;
  const tombstonesMs = prepared.tombstonesMs.get(topic) ?? Infinity;
  // The marker of its own last transaction is no news.
  const markers = guarantee === 'exactly_once' && store.planned.source === undefined ? 1 : 0;
  const isUpToDate = unread <= markers;
  if (isUpToDate || host.clock.nowMs() - savedAtMs <= tombstonesMs) return;
  const facts = { store: store.name, savedAtMs, tombstonesMs, unread };
  host.logger.warn('store was away for longer than its changelog keeps deletions: rebuilding', facts);
  throw new StreamError('STORE_FOREIGN', `store ${store.name} is older than the deletions in its changelog`, { facts });
}

/** Stores of all tasks of the topology: an instance may come to own them all. */
function storeCount({ prepared }: OpenStoreScope): number {
  let count = 0;
  for (const sub of prepared.plan.subTopologies) count += sub.stores.length * sub.partitions;
  return Math.max(1, count);
}

function cacheBytes(scope: OpenStoreScope): number {
  return Math.floor(scope.options.cacheBytesMax / storeCount(scope));
}

function writeBufferBytes(scope: OpenStoreScope): number {
  const share = Math.floor(scope.options.storesBytesMax / (2 * storeCount(scope)));
  return Math.min(writeBuffer.max, Math.max(writeBuffer.min, share));
}

/** If one cannot be restored the others stop before this rejects: the next attempt opens the same stores, and nobody may be left who writes into those of this one. */
async function restoreAll(scope: TakeOverScope, opening: Opening, start: Opened['start']): Promise<void> {
  const controller = new AbortController();
  const abort = (): void => {
    controller.abort();
  };
  opening.signal.addEventListener('abort', abort, { once: true });
  const attempt = { ...opening, signal: controller.signal };
  checkWanted(opening);
  const restoring = [...opening.stores.values()].map((store) => restore(scope, attempt, { store, start }));
  try {
    await Promise.all(restoring);
  } finally {
    abort();
    await Promise.allSettled(restoring);
    opening.signal.removeEventListener('abort', abort);
  }
}

async function restore(
  scope: TakeOverScope,
  opening: Opening,
  { store, start }: { readonly store: TaskStore; readonly start: Opened['start'] },
): Promise<void> {
  const { changelogTopic: topic, source } = store.planned;
  if (topic === undefined) return;
  const { partition } = opening;
  const consumedTo = source === undefined ? undefined : start.get(topic)?.offset;
  const range =
    consumedTo === undefined
      ? await stableEnd(scope, opening, topic)
      : await consumedRange(scope.options, { topic, partition, consumedTo });
  const from = checkPosition(scope, store, { ...range, topic });
  const { counts } = scope.restorer;
  if (from > range.start) counts.tails += 1;
  else if (range.end > from) counts.whole += 1;
  opening.progress.total += range.end - from;
  const cancel = (): void => {
    scope.options.host.sometimes('restore-cancelled');
    scope.restorer.cancel(topic, partition);
  };
  opening.signal.addEventListener('abort', cancel, { once: true });
  try {
    checkWanted(opening);
    await scope.restorer.restore({ store, topic, partition, from, to: range.end }, opening.progress);
    if (range.end - from >= compactFromRecords) await store.compact();
  } catch (error) {
    if (!hasCode(error, 'OFFSET_OUT_OF_RANGE')) throw error;
    // Cut while it was read: what is restored so far may hold what was deleted since.
    throw new StreamError('STORE_FOREIGN', `the changelog of store ${store.name} was cut while it was read`, {
      facts: { topic, partition },
      cause: error,
    });
  } finally {
    opening.signal.removeEventListener('abort', cancel);
  }
}

/** Of the topic of a table: what of it was processed, whatever comes after it. */
export async function consumedRange(
  { host }: ResolvedOptions,
  { topic, partition, consumedTo }: { topic: string; partition: number; consumedTo: number },
): Promise<PartitionOffsets> {
  const [range] = await host.log.admin.offsets([{ topic, partition }]);
  if (range === undefined)
    throw new StreamError('TOPIC_UNKNOWN', `topic ${topic} does not exist`, { facts: { topic } });
  return { start: range.start, stable: consumedTo, end: consumedTo };
}

/** The changelog's end once nothing in it is undecided. */
async function stableEnd(scope: TakeOverScope, opening: Opening, topic: string): Promise<PartitionOffsets> {
  const { host } = scope.options;
  const undecided = new Undecided(scope.options, { taskId: opening.taskId, topic, partition: opening.partition });
  for (let attempt = 0; ; attempt += 1) {
    checkWanted(opening);
    const [range] = await host.log.admin.offsets([{ topic, partition: opening.partition }]);
    if (range === undefined)
      throw new StreamError('TOPIC_UNKNOWN', `changelog ${topic} does not exist`, { facts: { topic } });
    if (range.stable >= range.end) return range;
    host.sometimes('changelog-unstable');
    undecided.look({ stable: range.stable, end: range.end });
    await endDeadTransactions(scope, attempt);
    await host.clock.sleep(Math.min(20 * (attempt + 1), 500), opening.signal);
  }
}

function checkWanted(opening: Pick<Opening, 'taskId' | 'signal'>): void {
  if (opening.signal.aborted)
    throw new StreamError('TASK_MIGRATED', `task ${opening.taskId} is not wanted here any more`);
}
