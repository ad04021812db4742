/** Customers as both systems together know them: one, many, where each value comes from, and what the systems disagree on. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Sql } from '../../index.ts';
import { canonicalEmail } from '../../processors/app/customer/normalise.ts';
import { mergedRecord } from '../../processors/app/customer/merged-record.ts';
import { lineage, openConflicts, syncView, type SyncView } from '../../processors/app/customer/lineage.ts';
import type { MergeState } from '../../schemas/app/customer/merge-state.ts';
import type { CustomerMerged } from '../../schemas/app/customer/merged.ts';
import type { CustomerPolicy } from '../../schemas/app/customer/policy.ts';
import { Problem } from '../problem.ts';
import type { QueryContext } from '../placement.ts';
import { renderJson } from '../render.ts';
import {
  contextOf,
  headerOf,
  queryString,
  sendJson,
  sendTagged,
  waitParameter,
  writeProvenance,
  type RouteDescription,
  type Routes,
  type RouteScope,
} from '../routes.ts';
import type { TypedAnswer, TypedStore } from '../store-queries.ts';
import { askBefore, type TwoWays } from './customer-answers.ts';
import { isForView, searchView } from './customer-view-search.ts';
import { markDegraded, type SourceWatch } from './source-routes.ts';
import { searchCustomers, searchParameters, type SearchParameters } from './customer-search.ts';

export interface CustomerRouteOptions extends TwoWays {
  /** What is known of each e-mail, source by source. */
  readonly states: TypedStore<string, MergeState>;
  /** The policy under which it was merged. */
  readonly policy: CustomerPolicy;
  /** How the systems are; absent: nobody polls them. */
  readonly sources?: SourceWatch;
  /** Where customers are kept as a table; absent: nowhere. */
  readonly view?: Sql | undefined;
}

type CustomerRequest = FastifyRequest<{ Params: { readonly email: string }; Querystring: { readonly wait?: string } }>;
type SyncRequest = FastifyRequest<{ Body: { readonly email: string }; Querystring: { readonly wait?: string } }>;
type SearchRequest = FastifyRequest<{ Querystring: SearchParameters }>;

export const emailParams = { type: 'object', properties: { email: { type: 'string' } }, required: ['email'] };
const waiting = queryString(waitParameter);

type Problems = NonNullable<RouteDescription['problems']>;

const searchProblems: Problems = {
  400: ['request_invalid', 'query_invalid'],
  421: ['misdirected'],
  503: ['store_not_ready', 'position_not_reached', 'peer_unavailable', 'too_many_scans', 'view_unavailable'],
};

const customerProblems: Problems = {
  400: ['request_invalid', 'query_invalid', 'email_invalid'],
  404: ['customer_not_found'],
  421: ['misdirected'],
  503: ['store_not_ready', 'position_not_reached', 'peer_unavailable'],
};

const syncProblems: Problems = {
  ...customerProblems,
  400: ['request_invalid', 'body_invalid', 'query_invalid', 'email_invalid'],
  413: ['body_too_large'],
  415: ['media_type_unsupported'],
};

function described(
  summary: string,
  success: string,
  problems: Problems = customerProblems,
): { readonly description: RouteDescription } {
  return { description: { summary, success, problems, isQuery: true } };
}

/** The routes under `/customers`, and `/customer/sync`. */
export function customerRoutes(options: CustomerRouteOptions): Routes {
  return (scope) => {
    readRoutes(scope, options);
    comparingRoutes(scope, options);
  };
}

function readRoutes({ app, queries }: RouteScope, options: CustomerRouteOptions): void {
  const { states, policy, sources, view } = options;
  const merged = async (email: string, context: QueryContext): Promise<CustomerMerged | undefined> => {
    const { value } = await queries.get(states, email, context);
    return value === undefined ? undefined : (mergedRecord(value, policy) ?? undefined);
  };

  app.get('/customers', {
    schema: { querystring: queryString({ ...waitParameter, ...searchParameters }) },
    config: described(
      'Customers in the order of their e-mails',
      'customers, and the cursor of the next page',
      searchProblems,
    ),
    handler: async (request: SearchRequest, reply) => {
      const search = { queries, states, policy, context: contextOf(request) };
      const viewed = await searchTable(view, request);
      if (viewed !== undefined) {
        markDegraded(reply, sources);
        return sendJson(reply.header('x-served-by', 'postgres'), renderJson(viewed));
      }
      const { items, next, provenance } = await searchCustomers(search, request.query);
      writeProvenance(reply, provenance);
      markDegraded(reply, sources);
      return sendJson(reply, renderJson({ items, next: next ?? null }));
    },
  });

  app.get('/customers/:email', {
    schema: { params: emailParams, querystring: waiting },
    config: described('The merged customer of an e-mail', 'the customer; its version is the entity tag'),
    handler: async (request: CustomerRequest, reply) => {
      const email = readEmail(request.params.email);
      const context = contextOf(request);
      const before = await askBefore(options, { email, context, read: (now) => merged(email, now) });
      if (before !== undefined)
        return sendJson(reply.header('x-served-by', 'legacy'), renderJson(before.customer ?? notFound()));
      const state = found(reply, await queries.get(states, email, context));
      markDegraded(reply, sources);
      const customer = mergedRecord(state, policy) ?? notFound();
      return sendTagged(request, reply, `"${customer.version}"`, renderJson(customer));
    },
  });
}

/** `undefined` where the stores are to answer: without a table, or if the client is to see what it has written. */
async function searchTable(view: Sql | undefined, request: SearchRequest): Promise<object | undefined> {
  const { query } = request;
  if (view === undefined || !isForView(query) || headerOf(request, 'x-min-position') !== undefined) return undefined;
  const found = await searchView(view, query);
  return found === undefined ? undefined : { items: found.items, next: found.next ?? null };
}

function comparingRoutes({ app, queries }: RouteScope, { states, policy, sources }: CustomerRouteOptions): void {
  const stateOf = async (
    email: string,
    context: QueryContext,
    reply: FastifyReply,
  ): Promise<[MergeState, SyncView]> => {
    markDegraded(reply, sources);
    const state = found(reply, await queries.get(states, readEmail(email), context));
    // A state without living sources only remembers what was deleted.
    const view = syncView(state, policy) ?? notFound();
    return [state, view];
  };

  app.get('/customers/:email/lineage', {
    schema: { params: emailParams, querystring: waiting },
    config: described('Where every value comes from, what lost against it and why', 'fields and sources'),
    handler: async (request: CustomerRequest, reply) => {
      const [state] = await stateOf(request.params.email, contextOf(request), reply);
      return sendJson(reply, renderJson(lineage(state, policy)));
    },
  });

  app.get('/customers/:email/conflicts', {
    schema: { params: emailParams, querystring: waiting },
    config: described('Fields the systems disagree on', 'open conflicts'),
    handler: async (request: CustomerRequest, reply) => {
      const [state] = await stateOf(request.params.email, contextOf(request), reply);
      return sendJson(reply, renderJson(openConflicts(state, policy)));
    },
  });

  app.post('/customer/sync', {
    schema: { body: syncBody, querystring: waiting },
    config: described(
      'Compares the systems on one customer; changes nothing',
      'conflicts, and who changed each field last',
      syncProblems,
    ),
    handler: async (request: SyncRequest, reply) => {
      const [, view] = await stateOf(request.body.email, contextOf(request), reply);
      return sendJson(reply, renderJson(view));
    },
  });
}

const syncBody = {
  type: 'object',
  additionalProperties: false,
  required: ['email'],
  properties: { email: { type: 'string', minLength: 1, maxLength: 320 } },
};

/** The form under which customers are kept. Throws 400 `email_invalid`. */
export function readEmail(text: string): string {
  const email = canonicalEmail(text);
  if (email === undefined) throw new Problem(400, 'email_invalid', 'this is not an e-mail address');
  return email;
}

function found<V>(reply: FastifyReply, answer: TypedAnswer<V>): V {
  writeProvenance(reply, answer);
  return answer.value ?? notFound();
}

export function notFound(): never {
  throw new Problem(404, 'customer_not_found', 'no system knows a customer with this e-mail');
}
