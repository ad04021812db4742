/** The windows or sessions of one key, from whichever instance has them. */
import { StreamError } from '../errors.ts';
import { groupLocator } from '../state-stores/group-key.ts';
import type { InstanceView } from '../topology/runtime/view.ts';
import { formatCursor, parseCursor, type RowPosition } from './cursor.ts';
import type { QueryDependencies } from './key-query.ts';
import { limits } from './limits.ts';
import { ask, awaitPosition, placeOf, untilReady, viewsOf, type Place, type QueryContext } from './placement.ts';
import { formatPosition } from './position.ts';
import type { Page } from './range-query.ts';
import { hex } from './render.ts';
import { peerRows, type Row } from './row-source.ts';

export interface WindowQuery {
  readonly store: string;
  /** The author's key, serialised. */
  readonly key: Uint8Array;
  /** Windows that start from here on, sessions that end from here on; epoch ms, inclusive. */
  readonly fromMs: number;
  /** Windows and sessions that start no later than this; inclusive. */
  readonly toMs: number;
  readonly limit: number;
  readonly cursor: string | undefined;
}

/** A page of them in order of time, as of one commit. Rejects as `queryKey` does, and with `QUERY_INVALID` for a store without windows. */
export async function queryWindows(
  dependencies: QueryDependencies,
  query: WindowQuery,
  context: QueryContext,
): Promise<Page> {
  const views = viewsOf(dependencies.instances, query.store);
  const after = query.cursor === undefined ? undefined : parseCursor(identityOf(query), query.cursor);
  return untilReady(dependencies.clock, context, async () => {
    const { partition, owner } = ask(views, (view) => view.locate(query.store, groupLocator(query.key)));
    // Copies answer for keys and ranges only.
    const place = placeOf(views, { partition, owner, taskId: '', standbys: [] }, context);
    return place.kind === 'peer'
      ? readPeer(dependencies, { place, partition, query }, context)
      : readLocal(dependencies, { view: place.view, partition, after, query }, context);
  });
}

/** What makes a query the same query, page after page. */
function identityOf({ store, key, fromMs, toMs }: WindowQuery): string {
  return `${store}\nwindows\n${hex(key)}\n${String(fromMs)}\n${String(toMs)}`;
}

interface Local {
  readonly view: InstanceView;
  readonly partition: number;
  readonly after: RowPosition | undefined;
  readonly query: WindowQuery;
}

async function readLocal(
  { clock }: QueryDependencies,
  { view, partition, after, query }: Local,
  context: QueryContext,
): Promise<Page> {
  const storeView = view.localStore(query.store, partition);
  await awaitPosition(clock, context, { view, store: query.store, storeView });
  // All in one turn: rows and position are of one commit.
  const rows: Row[] = [];
  let bytes = 0;
  let isLast = true;
  for (const [key, value] of storeView.rowsOf(query.key, query)) {
    if (after !== undefined && Buffer.compare(key, after.key) <= 0) continue;
    if (rows.length === query.limit || bytes > limits.pageBytes) {
      isLast = false;
      break;
    }
    rows.push({ partition, key, value });
    bytes += key.byteLength + value.byteLength;
  }
  return pageOf(query, { rows, isLast, position: formatPosition(storeView.position()), servedBy: view.instanceId });
}

async function readPeer(
  { peers }: QueryDependencies,
  asked: { readonly place: Extract<Place, { kind: 'peer' }>; readonly partition: number; readonly query: WindowQuery },
  context: QueryContext,
): Promise<Page> {
  const { place, partition, query } = asked;
  const answer = await peers.get(place.url, {
    path: pathOf(query, context.waitMs),
    correlationId: context.correlationId,
    minPosition: context.minPosition === undefined ? undefined : formatPosition(context.minPosition),
    deadlineMs: limits.peerDeadlineMs + (context.minPosition === undefined ? 0 : context.waitMs),
    signal: context.signal,
  });
  const source = peerRows(answer, { partitions: [partition], limit: query.limit });
  const rows: Row[] = [];
  for (let row = await source.next(); row !== undefined; row = await source.next()) rows.push(row);
  const servedBy = answer.servedBy === '' ? place.instanceId : answer.servedBy;
  return pageOf(query, { rows, isLast: !source.isCut, position: answer.position, servedBy });
}

function pathOf({ store, key, fromMs, toMs, limit, cursor }: WindowQuery, waitMs: number): string {
  const parameters = new URLSearchParams({
    keyFormat: 'hex',
    valueFormat: 'base64',
    from: String(fromMs),
    to: String(toMs),
    limit: String(limit),
    wait: String(waitMs),
    ...(cursor === undefined ? {} : { cursor }),
  });
  return `/stores/${store}/windows/0x${hex(key)}?${parameters.toString()}`;
}

function pageOf(
  query: WindowQuery,
  found: {
    readonly rows: readonly Row[];
    readonly isLast: boolean;
    readonly position: string;
    readonly servedBy: string;
  },
): Page {
  const { rows, isLast, position, servedBy } = found;
  const identity = identityOf(query);
  const last = rows.at(-1);
  const cursorAfter = (row: RowPosition): string => formatCursor(identity, row);
  const cursor = isLast || last === undefined ? undefined : cursorAfter(last);
  return { rows, cursor, cursorAfter, position, servedBy, staleness: undefined };
}

/** Bounds of time in a query, epoch ms. Throws `QUERY_INVALID`. */
export function timeBounds(from: string | undefined, to: string | undefined): Pick<WindowQuery, 'fromMs' | 'toMs'> {
  return { fromMs: timeOf('from', from) ?? 0, toMs: timeOf('to', to) ?? Number.MAX_SAFE_INTEGER };
}

/** A time in a query, epoch ms. Throws `QUERY_INVALID` naming the parameter. */
export function timeOf(parameter: string, text: string | undefined): number | undefined {
  if (text === undefined || Number.isSafeInteger(Number(text))) return text === undefined ? undefined : Number(text);
  throw new StreamError('QUERY_INVALID', `${parameter} is a time in milliseconds`);
}
