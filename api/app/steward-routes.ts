/** What stewards decide about a customer: whose value of a field counts, and which source records are theirs. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { canonicalJson, noHeaders, type Clock, type Topic } from '../../index.ts';
import { openConflicts } from '../../processors/app/customer/lineage.ts';
import { decisionsPerEmailMax } from '../../processors/app/customer/steward.ts';
import { customerFields, sourceSystems, textLengthMax, type CustomerField } from '../../schemas/app/customer/fields.ts';
import type { MergeState } from '../../schemas/app/customer/merge-state.ts';
import type { StewardOverride } from '../../schemas/app/customer/override.ts';
import type { CustomerPolicy } from '../../schemas/app/customer/policy.ts';
import { compact, isStorableText } from '../../schemas/app/reader.ts';
import { limits } from '../limits.ts';
import { Problem } from '../problem.ts';
import { renderJson } from '../render.ts';
import {
  boundedInteger,
  contextOf,
  headerOf,
  queryString,
  sendJson,
  waitParameter,
  writeProvenance,
  type RouteDescription,
  type Routes,
  type RouteScope,
} from '../routes.ts';
import type { TypedStore } from '../store-queries.ts';
import type { RoutePorts } from './application.ts';
import { awaitAnswer } from './await-answer.ts';
import { emailParams, notFound, readEmail } from './customer-routes.ts';
import { outcomeWait } from './transaction-status.ts';

export interface StewardRouteOptions {
  readonly states: TypedStore<string, MergeState>;
  readonly policy: CustomerPolicy;
  readonly decisions: Topic<string, StewardOverride>;
  readonly write: RoutePorts['write'];
  readonly clock: Clock;
}

interface Said {
  readonly by: string;
  readonly reason: string;
  readonly choose?: (typeof choices)[number];
  readonly value?: string | null;
  readonly ref?: string;
}

type DecisionRequest = FastifyRequest<{
  Params: { readonly email: string; readonly field?: CustomerField };
  Querystring: { readonly wait?: string };
  Body: Said;
}>;
type ListRequest = FastifyRequest<{ Params: { readonly email: string }; Querystring: { readonly wait?: string } }>;

/** What is decided, besides who says so and when. */
type Verdict = Pick<StewardOverride, 'action' | 'field' | 'value' | 'source' | 'ref'>;

const choices = [...sourceSystems, 'value', 'current'] as const;

const by = { type: 'string', minLength: 1, maxLength: 200 };
const reason = { type: 'string', minLength: 1, maxLength: 1_000 };
const ref = { type: 'string', minLength: 3, maxLength: 202 };

function body(properties: Readonly<Record<string, object>>, required: readonly string[]): object {
  const all = { by, reason, ...properties };
  return { type: 'object', additionalProperties: false, required: ['by', 'reason', ...required], properties: all };
}

const resolving = body(
  {
    choose: { type: 'string', enum: choices },
    value: { type: ['string', 'null'], minLength: 1, maxLength: textLengthMax },
    ref,
  },
  ['choose'],
);
const fieldParams = {
  type: 'object',
  required: ['email', 'field'],
  properties: { ...emailParams.properties, field: { type: 'string', enum: customerFields } },
};

const problems = (
  ...[missing, conflicting, unprocessable]: readonly (readonly string[])[]
): NonNullable<RouteDescription['problems']> => ({
  400: ['request_invalid', 'body_invalid', 'query_invalid', 'email_invalid'],
  404: ['customer_not_found', ...(missing ?? [])],
  409: ['decisions_too_many', ...(conflicting ?? [])],
  412: ['version_conflict'],
  413: ['body_too_large'],
  415: ['media_type_unsupported'],
  421: ['misdirected'],
  ...(unprocessable === undefined ? {} : { 422: unprocessable }),
  428: ['if_match_missing'],
  503: ['store_not_ready', 'peer_unavailable', 'log_unavailable'],
});

/** Routes for administrators: every decision names who made it and why. */
export function stewardRoutes(options: StewardRouteOptions): Routes {
  return (scope) => {
    fieldRoutes(scope, options);
    recordRoutes(scope, options);
    listRoute(scope, options);
  };
}

function fieldRoutes(scope: RouteScope, options: StewardRouteOptions): void {
  const path = '/customers/:email/conflicts/:field/resolution';
  const schema = (of: object): object => ({
    params: fieldParams,
    body: of,
    querystring: queryString({ wait: outcomeWait }),
  });
  const handler =
    (verdictOn: (state: MergeState, { params, body }: DecisionRequest) => Verdict) =>
    (request: DecisionRequest, reply: FastifyReply): Promise<FastifyReply> =>
      decide(scope, options, { request, reply, verdict: (state) => verdictOn(state, request) });

  scope.app.post(path, {
    schema: schema(resolving),
    config: described(
      'Settles a conflict: by a system, by a value, or as it is',
      problems([], ['conflict_not_open'], ['value_invalid']),
    ),
    handler: handler((state, { params: { field }, body: said }) => {
      const isOpen = openConflicts(state, options.policy).some((conflict) => conflict.field === field);
      if (!isOpen && !isDecided(state, field))
        throw new Problem(409, 'conflict_not_open', 'the systems agree on this field, and nobody has decided on it');
      return compact({ field, ...choiceOf(said, field) });
    }),
  });

  scope.app.delete(path, {
    schema: schema(body({}, [])),
    config: described(
      'Withdraws the decision on a field: the policy decides again',
      problems([], ['decision_not_made']),
    ),
    handler: handler((state, { params: { field } }) => {
      if (!isDecided(state, field)) throw new Problem(409, 'decision_not_made', 'nobody has decided on this field');
      return compact({ field, action: 'RELEASE' as const });
    }),
  });
}

function recordRoutes(scope: RouteScope, options: StewardRouteOptions): void {
  const route = (name: string, summary: string, action: 'DETACH_REF' | 'ATTACH_REF'): void => {
    scope.app.post(`/customers/:email/${name}`, {
      schema: {
        params: emailParams,
        body: body({ ref }, ['ref']),
        querystring: queryString({ wait: outcomeWait }),
      },
      config: described(summary, problems(['source_record_not_found'])),
      handler: (request: DecisionRequest, reply) =>
        decide(scope, options, {
          request,
          reply,
          verdict: (state) => {
            const { ref: target = '' } = request.body;
            if (!Object.hasOwn(state.contributions, target))
              throw new Problem(404, 'source_record_not_found', 'no such record has this e-mail');
            return { action, ref: target };
          },
        }),
    });
  };
  route('detach', 'Takes a source record out of the customer: it becomes a customer of its own', 'DETACH_REF');
  route('attach', 'Puts a source record back into its customer', 'ATTACH_REF');
}

function listRoute({ app, queries }: RouteScope, { states }: StewardRouteOptions): void {
  app.get('/customers/:email/decisions', {
    schema: { params: emailParams, querystring: queryString(waitParameter) },
    config: {
      access: 'admin',
      description: {
        summary: 'What stewards have decided about a customer, oldest first',
        success: 'accepted and refused decisions, and the version of the customer',
        problems: {
          400: ['request_invalid', 'query_invalid', 'email_invalid'],
          404: ['customer_not_found'],
          421: ['misdirected'],
          503: ['store_not_ready', 'position_not_reached', 'peer_unavailable'],
        },
        isQuery: true,
      },
    },
    handler: async (request: ListRequest, reply) => {
      const answer = await queries.get(states, readEmail(request.params.email), contextOf(request));
      writeProvenance(reply, answer);
      const { email, version, overrides, refusedOverrides } = answer.value ?? notFound();
      return sendJson(reply, renderJson({ email, version, accepted: overrides, refused: refusedOverrides }));
    },
  });
}

function described(
  summary: string,
  found: NonNullable<RouteDescription['problems']>,
): { readonly access: 'admin'; readonly description: RouteDescription } {
  const success = 'it is written down; with `wait`, and in time: it is accepted';
  return { access: 'admin', description: { summary, success, problems: found } };
}

/** Whether a decision on the field is in force. */
function isDecided({ overrides }: MergeState, field: CustomerField | undefined): boolean {
  const last = overrides.findLast((override) => override.field === field);
  return last !== undefined && last.action !== 'RELEASE';
}

function choiceOf({ choose, value, ref: chosenRef }: Said, field: CustomerField | undefined): Verdict {
  if ((choose === 'value') !== (value !== undefined))
    throw new Problem(422, 'value_invalid', 'a value belongs to the choice of a value, and to no other');
  if (choose === 'value') return { action: 'PIN_VALUE', value: checkedValue(value ?? null, field) };
  if (choose === 'current' || choose === undefined) return { action: 'ACCEPT' };
  return compact({ action: 'PIN_SOURCE' as const, source: choose, ref: chosenRef });
}

/** `null` pins a field to nothing. */
function checkedValue(value: string | null, field: CustomerField | undefined): string | null {
  if (value === null) return null;
  if (!isStorableText(value) || value.trim() === '' || (field === 'contractStart' && !isDate(value)))
    throw new Problem(422, 'value_invalid', 'the field cannot have this value');
  return value;
}

function isDate(text: string): boolean {
  const ms = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(text) : NaN;
  // 31 February would be read as a day of March.
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text);
}

interface Deciding {
  readonly request: DecisionRequest;
  readonly reply: FastifyReply;
  /** Throws a `Problem` if there is nothing to decide. */
  readonly verdict: (state: MergeState) => Verdict;
}

/** Writes the decision down in the order of its e-mail; the merge then has the last word on whether the version is still the one expected. */
async function decide(
  { queries }: RouteScope,
  { states, decisions, write, clock }: StewardRouteOptions,
  { request, reply, verdict }: Deciding,
): Promise<FastifyReply> {
  const email = readEmail(request.params.email);
  const context = { ...contextOf(request), minPosition: undefined };
  const { value: state = notFound() } = await queries.get(states, email, context);
  const expectedVersion = expectedOf(headerOf(request, 'if-match'));
  if (expectedVersion !== undefined && expectedVersion !== state.version) throw versionConflict();
  const decision: StewardOverride = compact({
    email,
    ...verdict(state),
    expectedVersion,
    actorId: request.body.by,
    reason: request.body.reason,
    at: Math.max(clock.nowMs() * 1_000, seenUntil(state, request.params.field)),
  });
  const count = state.overrides.length + state.refusedOverrides.length;
  if (count >= decisionsPerEmailMax && expectedVersion !== undefined)
    throw new Problem(409, 'decisions_too_many', 'decide with If-Match: *, which makes room');
  await write({
    topic: decisions.name,
    key: decisions.key.serialize(email),
    value: decisions.value.serialize(decision),
    headers: noHeaders,
    timestampMs: clock.nowMs(),
  });
  const waitMs = boundedInteger('wait', request.query.wait, { min: 0, max: limits.positionWaitMs, initial: 0 });
  const isOver = (now: MergeState): boolean => outcomeOf(now, decision) !== 'processing';
  const awaited = { queries, store: states, key: email, clock, context, waitMs, isOver };
  const { value: now } = waitMs === 0 ? { value: undefined } : await awaitAnswer(awaited);
  const outcome = now === undefined ? 'processing' : outcomeOf(now, decision);
  if (outcome === 'refused') throw versionConflict();
  const statusUrl = `/customers/${encodeURIComponent(email)}/decisions`;
  const told = renderJson({ status: outcome, decision, statusUrl });
  return sendJson(outcome === 'accepted' ? reply : reply.code(202), told);
}

/** A decision on a conflict is later than the values in it, whatever the clocks of their systems say. */
function seenUntil({ conflicts }: MergeState, field: CustomerField | undefined): number {
  return field === undefined ? 0 : (conflicts[field]?.since ?? 0);
}

/** What became of a decision, as far as this state knows. */
function outcomeOf(state: MergeState, decision: StewardOverride): 'accepted' | 'refused' | 'processing' {
  const text = canonicalJson(decision);
  const isIn = (list: readonly StewardOverride[]): boolean => list.some((known) => canonicalJson(known) === text);
  return isIn(state.overrides) ? 'accepted' : isIn(state.refusedOverrides) ? 'refused' : 'processing';
}

/** `undefined` for `*`. Throws 428 without a version. */
function expectedOf(ifMatch: string | undefined): number | undefined {
  if (ifMatch === '*') return undefined;
  const version = /^"(\d{1,15})"$/.exec(ifMatch ?? '')?.[1];
  if (version === undefined)
    throw new Problem(428, 'if_match_missing', 'send If-Match with the entity tag of the customer, or *');
  return Number(version);
}

function versionConflict(): Problem {
  return new Problem(412, 'version_conflict', 'the customer has changed: look again, and decide again');
}
