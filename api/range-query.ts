/** A page of a store in key order, gathered from all its partitions wherever they live. */
import { StreamError, assert } from '../errors.ts';
import type { InstanceView, StoreLocation } from '../topology/runtime/view.ts';
import { formatCursor, parseCursor, type RowPosition } from './cursor.ts';
import { staleParameter, type QueryDependencies } from './key-query.ts';
import { limits } from './limits.ts';
import { ask, awaitPosition, placeOf, untilReady, viewsOf, type QueryContext } from './placement.ts';
import { formatPosition, mergePositions, parsePosition, type PositionVector } from './position.ts';
import { unavailable } from './problem.ts';
import { hex } from './render.ts';
import { mergeStaleness, type Staleness } from './staleness.ts';
import { localRows, peerRows, type Row, type RowSource } from './row-source.ts';

export interface RangeQuery {
  readonly store: string;
  /** Inclusive. */
  readonly from: Uint8Array | undefined;
  /** Exclusive. */
  readonly to: Uint8Array | undefined;
  readonly reverse: boolean;
  readonly limit: number;
  readonly cursor: string | undefined;
  /** Only these; absent: all. */
  readonly partitions: readonly number[] | undefined;
}

export interface Page {
  readonly rows: readonly Row[];
  /** Where to go on; `undefined` after the last row. A page may be shorter than its limit and yet not the last. */
  readonly cursor: string | undefined;
  /** Where to go on after one of its rows. Throws `QUERY_INVALID` if its key is too long for a cursor. */
  readonly cursorAfter: (row: RowPosition) => string;
  readonly position: string;
  readonly servedBy: string;
  /** Set when copies answered. */
  readonly staleness: Staleness | undefined;
}

/** Makes the function that answers range queries; it counts how many run at one time. */
export function createRangeQueries(
  dependencies: QueryDependencies,
): (query: RangeQuery, context: QueryContext) => Promise<Page> {
  let running = 0;
  return async (query, context) => {
    const views = viewsOf(dependencies.instances, query.store);
    const identity = identityOf(query);
    const after = query.cursor === undefined ? undefined : parseCursor(identity, query.cursor);
    if (running >= limits.scans) throw unavailable('too_many_scans', 'too many range queries run now');
    running += 1;
    try {
      // Large pages follow each other quickly: processing and heartbeats get their turn.
      await dependencies.clock.yield();
      const unreachable = new Set<string>();
      return await untilReady(dependencies.clock, context, () =>
        readPage(dependencies, { query, after, identity, views, context, unreachable }),
      );
    } finally {
      running -= 1;
    }
  };
}

/** What makes a query the same query, page after page. */
function identityOf({ store, from, to, reverse }: RangeQuery): string {
  const bound = (key: Uint8Array | undefined): string => (key === undefined ? '-' : hex(key));
  return `${store}\n${bound(from)}\n${bound(to)}\n${reverse ? 'reverse' : 'forward'}`;
}

interface Scan {
  readonly query: RangeQuery;
  readonly after: RowPosition | undefined;
  readonly identity: string;
  readonly views: readonly InstanceView[];
  readonly context: QueryContext;
  /** Instances that did not answer. */
  readonly unreachable: Set<string>;
}

async function readPage(dependencies: QueryDependencies, scan: Scan): Promise<Page> {
  const opened = await openSources(dependencies, scan);
  const sources = opened.map(({ source }) => source);
  try {
    const { rows, isLast } = await mergeRows(sources, scan);
    const last = rows.at(-1);
    return {
      rows,
      cursor: isLast || last === undefined ? undefined : formatCursor(scan.identity, last),
      cursorAfter: (row) => formatCursor(scan.identity, row),
      position: formatPosition(mergePositions(opened.map(({ position }) => position))),
      servedBy: [...new Set(opened.map(({ servedBy }) => servedBy))].sort().join(','),
      staleness: mergeStaleness(opened.map(({ staleness }) => staleness)),
    };
  } finally {
    await Promise.all(sources.map((source) => source.close()));
  }
}

interface OpenedSource {
  readonly source: RowSource;
  readonly position: PositionVector;
  readonly servedBy: string;
  readonly staleness: Staleness | undefined;
}

/** One source per local partition and one per peer; all or none stay open. */
async function openSources(dependencies: QueryDependencies, scan: Scan): Promise<readonly OpenedSource[]> {
  const { views, context, query } = scan;
  const all = ask(views, (view) => view.locateAll(query.store));
  const wanted = query.partitions === undefined ? all : selectPartitions(all, query.partitions);
  // All places first: one that throws must not leave others half opened.
  const places = wanted.map((location) => ({ location, place: placeOf(views, location, context, scan.unreachable) }));
  const opening: Promise<OpenedSource>[] = [];
  const byPeer = new Map<string, { readonly url: string; readonly partitions: number[] }>();
  for (const { location, place } of places) {
    const { partition } = location;
    if (place.kind === 'local') opening.push(openLocal(dependencies, scan, place.view, partition));
    else if (place.kind === 'standby') opening.push(openStandby(scan, place.view, partition));
    else {
      const peer = byPeer.get(place.instanceId) ?? { url: place.url, partitions: [] };
      peer.partitions.push(partition);
      byPeer.set(place.instanceId, peer);
    }
  }
  for (const [instanceId, peer] of byPeer) opening.push(openPeer(dependencies, scan, { instanceId, ...peer }));

  const settled = await Promise.allSettled(opening);
  const opened = settled.filter((result) => result.status === 'fulfilled').map((result) => result.value);
  const failed = settled.find((result) => result.status === 'rejected');
  if (failed === undefined) return opened;
  await Promise.all(opened.map(({ source }) => source.close()));
  throw failed.reason;
}

function selectPartitions(all: readonly StoreLocation[], partitions: readonly number[]): readonly StoreLocation[] {
  const selected = all.filter(({ partition }) => partitions.includes(partition));
  if (selected.length !== new Set(partitions).size)
    throw new StreamError('QUERY_INVALID', 'the store has no such partition');
  return selected;
}

async function openLocal(
  { clock }: QueryDependencies,
  scan: Scan,
  view: InstanceView,
  partition: number,
): Promise<OpenedSource> {
  const { query, context, after } = scan;
  const storeView = view.localStore(query.store, partition);
  await awaitPosition(clock, context, { view, store: query.store, storeView });
  // Both in one turn: the position is that of the snapshot.
  const position = storeView.position();
  const source = localRows(storeView, { ...query, after });
  return { source, position, servedBy: view.instanceId, staleness: undefined };
}

async function openStandby({ query, after }: Scan, view: InstanceView, partition: number): Promise<OpenedSource> {
  const copy = view.standbyStore(query.store, partition);
  const source = localRows(copy, { ...query, after });
  return { source, position: new Map(), servedBy: view.instanceId, staleness: { lag: copy.lag() } };
}

async function openPeer(
  { peers }: QueryDependencies,
  scan: Scan,
  peer: { readonly instanceId: string; readonly url: string; readonly partitions: readonly number[] },
): Promise<OpenedSource> {
  const { query, context, unreachable } = scan;
  const { partitions } = peer;
  const answer = await peers
    .get(peer.url, {
      path: `${pathOf(query, partitions, context.waitMs)}${staleParameter(context)}`,
      correlationId: context.correlationId,
      minPosition: context.minPosition === undefined ? undefined : formatPosition(context.minPosition),
      deadlineMs: limits.peerDeadlineMs + (context.minPosition === undefined ? 0 : context.waitMs),
      signal: context.signal,
    })
    .catch((error: unknown) => {
      unreachable.add(peer.instanceId);
      throw error;
    });
  return {
    source: peerRows(answer, { partitions, limit: query.limit }),
    position: parsePosition(answer.position),
    servedBy: answer.servedBy,
    staleness: answer.staleness,
  };
}

function pathOf(query: RangeQuery, partitions: readonly number[], waitMs: number): string {
  const parameters = new URLSearchParams({
    keyFormat: 'hex',
    valueFormat: 'base64',
    partitions: partitions.join(','),
    limit: String(query.limit),
    reverse: String(query.reverse),
    wait: String(waitMs),
  });
  if (query.from !== undefined) parameters.set('from', `0x${hex(query.from)}`);
  if (query.to !== undefined) parameters.set('to', `0x${hex(query.to)}`);
  if (query.cursor !== undefined) parameters.set('cursor', query.cursor);
  return `/stores/${query.store}?${parameters.toString()}`;
}

/** Takes rows in order until the page is full, or until a source that has more than it delivered runs out. */
async function mergeRows(
  sources: readonly RowSource[],
  { query, context }: Scan,
): Promise<{ readonly rows: readonly Row[]; readonly isLast: boolean }> {
  const heads = await Promise.all(sources.map((source) => source.next()));
  const rows: Row[] = [];
  let bytes = 0;
  while (true) {
    const isCut = heads.some((head, index) => head === undefined && sources[index]?.isCut === true);
    const next = isCut ? -1 : firstOf(heads, query.reverse);
    const row = heads[next];
    if (row === undefined) return { rows, isLast: !isCut };
    if (rows.length === query.limit || bytes > limits.pageBytes) return { rows, isLast: false };
    if (context.signal.aborted) throw new StreamError('QUERY_TIMEOUT', 'the client is gone or its time is up');
    rows.push(row);
    bytes += row.key.byteLength + row.value.byteLength;
    const source = sources[next];
    assert(source !== undefined, 'a row has a source');
    heads[next] = await source.next();
  }
}

function firstOf(heads: readonly (Row | undefined)[], reverse: boolean): number {
  let first = -1;
  let best: Row | undefined;
  for (const [index, head] of heads.entries()) {
    if (head === undefined || (best !== undefined && compareRows(head, best, reverse) > 0)) continue;
    first = index;
    best = head;
  }
  return first;
}

/** By key in the direction of the query, then by partition. */
function compareRows(a: Row, b: Row, reverse: boolean): number {
  const byKey = Buffer.compare(a.key, b.key);
  return byKey === 0 ? a.partition - b.partition : reverse ? -byKey : byKey;
}
