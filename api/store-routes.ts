/** Generic queries of any store: by key, by range, and where a key lives. */
import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { StreamError } from '../errors.ts';
import type { AnyStoreSpec } from '../state-stores/spec.ts';
import type { InstanceView, Peer, StoreLocation } from '../topology/runtime/view.ts';
import { limits } from './limits.ts';
import { ask, viewsOf } from './placement.ts';
import { Problem } from './problem.ts';
import type { Page, RangeQuery } from './range-query.ts';
import { base64, renderJson } from './render.ts';
import {
  boundedInteger,
  contextOf,
  queryString,
  sendJson,
  sendTagged,
  waitParameter,
  writeProvenance,
  type RouteScope,
} from './routes.ts';
import { timeBounds, timeOf } from './window-query.ts';
import { decodeKey, decodeValue, encodeKeyText, endOfPrefix, keyFormats, type KeyFormat } from './store-codec.ts';

type ValueFormat = 'json' | 'base64';

interface FormatQuery {
  readonly keyFormat?: KeyFormat;
  readonly valueFormat?: ValueFormat;
  readonly wait?: string;
  readonly stale?: string;
}

interface RangeParameters extends FormatQuery {
  readonly prefix?: string;
  readonly from?: string;
  readonly to?: string;
  readonly reverse?: 'true' | 'false';
  readonly limit?: string;
  readonly cursor?: string;
  readonly partitions?: string;
}

interface WindowParameters extends FormatQuery {
  readonly from?: string;
  readonly to?: string;
  readonly limit?: string;
  readonly cursor?: string;
}

interface StoreParams {
  readonly store: string;
}

interface KeyParameters extends FormatQuery {
  readonly asOf?: string;
}

type KeyRequest = FastifyRequest<{ Params: StoreParams & { readonly key: string }; Querystring: KeyParameters }>;
type RangeRequest = FastifyRequest<{ Params: StoreParams; Querystring: RangeParameters }>;
type WindowsRequest = FastifyRequest<{
  Params: StoreParams & { readonly key: string };
  Querystring: WindowParameters;
}>;
type MetadataRequest = FastifyRequest<{
  Params: StoreParams;
  Querystring: { readonly key?: string; readonly keyFormat?: KeyFormat };
}>;

const storeParam = { type: 'string', pattern: '^[a-zA-Z0-9._-]{1,200}$', description: 'name of the store' };
const storeParams = { type: 'object', properties: { store: storeParam }, required: ['store'] };
const keyParams = {
  type: 'object',
  properties: { store: storeParam, key: { type: 'string' } },
  required: ['store', 'key'],
};

const keyFormat = {
  type: 'string',
  enum: keyFormats,
  description: 'how keys are written; by default text, which only stores with string keys understand',
};
const valueFormat = { type: 'string', enum: ['json', 'base64'], description: 'base64: values as stored' };
const text = { type: 'string' };

const rangeParameters = {
  ...waitParameter,
  keyFormat,
  valueFormat,
  prefix: { ...text, description: 'keys that begin with this; not together with from and to' },
  from: { ...text, description: 'first key, inclusive' },
  to: { ...text, description: 'last key, exclusive' },
  reverse: { type: 'string', enum: ['true', 'false'], description: 'highest key first' },
  limit: {
    type: 'string',
    pattern: '^\\d{1,4}$',
    description: `rows, 1 to ${limits.pageRows}; default ${limits.pageRowsDefault}`,
  },
  cursor: { type: 'string', pattern: '^[\\w-]{1,8192}$', description: '`next` of the page before' },
  partitions: { type: 'string', pattern: '^\\d{1,6}(,\\d{1,6}){0,999}$', description: 'only these partitions' },
} as const;

const metadataProblems = {
  400: ['request_invalid', 'query_invalid'],
  404: ['store_unknown'],
  414: ['key_too_long'],
  503: ['store_not_ready'],
};

const time = { type: 'string', pattern: '^\\d{1,16}$' };

const asOf = { ...time, description: 'ms: the version that was valid then; of stores that keep versions' };

const windowParameters = {
  wait: waitParameter.wait,
  keyFormat,
  valueFormat,
  from: { ...time, description: 'ms: windows that start, sessions that end, from here on; inclusive' },
  to: { ...time, description: 'ms: windows and sessions that start no later; inclusive' },
  limit: rangeParameters.limit,
  cursor: rangeParameters.cursor,
} as const;

const queryProblems = {
  ...metadataProblems,
  421: ['misdirected'],
  500: ['value_undecodable'],
  503: ['store_not_ready', 'position_not_reached', 'peer_unavailable'],
};

export function storeRoutes(scope: RouteScope, instances: readonly InstanceView[]): void {
  const { app, queries } = scope;
  app.get(
    '/stores',
    { config: { description: { summary: 'Stores that can be queried', success: 'their names' } } },
    () => ({
      stores: listStores(instances),
    }),
  );

  app.get('/stores/:store/metadata', {
    schema: { params: storeParams, querystring: queryString({ key: text, keyFormat }) },
    config: {
      description: {
        summary: 'Which partition and instance a key lives on; without a key all partitions of the store',
        success: 'the partition, or all',
        problems: metadataProblems,
      },
    },
    handler: async (request: MetadataRequest) => describePlace(instances, queries.spec(request.params.store), request),
  });

  app.get('/stores/:store/:key', {
    schema: { params: keyParams, querystring: queryString({ ...waitParameter, keyFormat, valueFormat, asOf }) },
    config: {
      description: {
        summary: 'The value of a key, from whichever instance has it',
        success: 'key and value',
        problems: { ...queryProblems, 404: ['store_unknown', 'key_not_found'] },
        isQuery: true,
      },
    },
    handler: async (request: KeyRequest, reply) => {
      const { store, key: keyText } = request.params;
      const spec = queries.spec(store);
      const key = encodeKeyText(spec, keyText, request.query.keyFormat);
      const asked = { store, key, asOfMs: timeOf('asOf', request.query.asOf) };
      const answer = await queries.getBytes(asked, contextOf(request));
      writeProvenance(reply, answer);
      if (answer.value === undefined) throw new Problem(404, 'key_not_found', 'the store does not have this key');
      return sendTagged(
        request,
        reply,
        etagOf(answer.value),
        renderJson(renderRow(spec, { key, value: answer.value }, request.query)),
      );
    },
  });

  rangeRoute(scope);
  windowsRoute(scope);
}

function rangeRoute({ app, queries }: RouteScope): void {
  app.get('/stores/:store', {
    schema: { params: storeParams, querystring: queryString(rangeParameters) },
    config: {
      description: {
        summary: 'A page of a store in the order of its keys, from all partitions',
        success: 'rows, and the cursor of the next page',
        problems: { ...queryProblems, 503: [...queryProblems[503], 'too_many_scans'] },
        isQuery: true,
      },
    },
    handler: async (request: RangeRequest, reply) => {
      const spec = queries.spec(request.params.store);
      const page = await queries.pageBytes(rangeOf(spec, request), contextOf(request));
      return sendPage(reply, spec, page, request.query);
    },
  });
}

function windowsRoute({ app, queries }: RouteScope): void {
  app.get('/stores/:store/windows/:key', {
    schema: { params: keyParams, querystring: queryString(windowParameters) },
    config: {
      description: {
        summary: 'The windows or sessions of a key in order of time, from whichever instance has them',
        success: 'rows, and the cursor of the next page',
        problems: queryProblems,
        isQuery: true,
      },
    },
    handler: async (request: WindowsRequest, reply) => {
      const { params, query } = request;
      const spec = queries.spec(params.store);
      if (spec.groupKey === undefined) throw new StreamError('QUERY_INVALID', 'the store has no windows');
      const key = encodeKeyText({ key: spec.groupKey }, params.key, query.keyFormat);
      const limit = limitOf(query.limit);
      const bounds = timeBounds(query.from, query.to);
      const asked = { store: params.store, key, ...bounds, limit, cursor: query.cursor };
      return sendPage(reply, spec, await queries.windowsBytes(asked, contextOf(request)), query);
    },
  });
}

function limitOf(text: string | undefined): number {
  return boundedInteger('limit', text, { min: 1, max: limits.pageRows, initial: limits.pageRowsDefault });
}

function listStores(instances: readonly InstanceView[]): readonly object[] {
  const byName = new Map<string, object>();
  for (const view of instances)
    for (const name of view.storeNames()) {
      const { kind, key, value } = view.storeSpec(name);
      byName.set(name, { name, application: view.applicationId, kind, key: key.name, value: value.name });
    }
  return [...byName.values()];
}

function describePlace(
  instances: readonly InstanceView[],
  spec: AnyStoreSpec,
  { params, query }: MetadataRequest,
): object {
  const views = viewsOf(instances, params.store);
  if (query.key === undefined) {
    const partitions = ask(views, (view) => view.locateAll(params.store)).map(describeLocation);
    return { store: params.store, partitions };
  }
  const key = encodeKeyText(spec, query.key, query.keyFormat);
  return { store: params.store, ...describeLocation(ask(views, (view) => view.locate(params.store, key))) };
}

function describeLocation({ partition, taskId, owner, standbys }: StoreLocation): object {
  return {
    partition,
    taskId,
    owner: owner === undefined ? null : describePeer(owner),
    standbys: standbys.map(describePeer),
  };
}

function describePeer({ instanceId, url, isSelf }: Peer): object {
  return { instanceId, url: url ?? null, isSelf };
}

function renderRow(
  spec: AnyStoreSpec,
  row: { readonly key: Uint8Array; readonly value: Uint8Array },
  query: FormatQuery,
): object {
  const key = decodeKey(spec, row.key, query.keyFormat);
  return query.valueFormat === 'base64' ? { key, value: base64(row.value) } : { key, ...decodeValue(spec, row.value) };
}

function etagOf(value: Uint8Array): string {
  return `"${createHash('sha256').update(value).digest('base64url').slice(0, 22)}"`;
}

function rangeOf(spec: AnyStoreSpec, { params, query }: RangeRequest): RangeQuery {
  const bound = (value: string | undefined): Uint8Array | undefined =>
    value === undefined ? undefined : encodeKeyText(spec, value, query.keyFormat);
  const common = {
    store: params.store,
    reverse: query.reverse === 'true',
    limit: limitOf(query.limit),
    cursor: query.cursor,
    partitions: query.partitions?.split(',').map(Number),
  };
  if (query.prefix === undefined) return { ...common, from: bound(query.from), to: bound(query.to) };
  if (query.from !== undefined || query.to !== undefined)
    throw new StreamError('QUERY_INVALID', 'prefix excludes from and to');
  if (query.keyFormat === 'json' || query.keyFormat === 'int')
    throw new StreamError('QUERY_INVALID', 'a prefix is text or hexadecimal');
  const prefix = encodeKeyText(spec, query.prefix, query.keyFormat);
  return { ...common, from: prefix, to: endOfPrefix(prefix) };
}

function sendPage(reply: FastifyReply, spec: AnyStoreSpec, page: Page, query: FormatQuery): FastifyReply {
  writeProvenance(reply, page);
  const items = page.rows.map((row) => ({ partition: row.partition, ...renderRow(spec, row, query) }));
  return sendJson(reply, renderJson({ items, next: page.cursor ?? null }));
}
