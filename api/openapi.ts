/** Describes the API from the routes that are registered, so that the description cannot fall behind. */
import type { RouteOptions } from 'fastify';
import type { Access } from './access.ts';
import { isObject } from './peer-answer.ts';
import type { RouteDescription } from './routes.ts';

export interface DescribedRoute {
  readonly method: string;
  /** As registered: parameters as `:name`. */
  readonly url: string;
  readonly access: Access;
  readonly description: RouteDescription | undefined;
  readonly schema: RouteOptions['schema'];
}

export interface OpenApiInfo {
  readonly title: string;
  readonly version: string;
  readonly hasTokens: boolean;
}

/** An OpenAPI 3.1 document. */
export function describeApi(routes: readonly DescribedRoute[], info: OpenApiInfo): object {
  const paths = new Map<string, Record<string, object>>();
  for (const route of routes) {
    const path = route.url.replace(/:(\w+)/g, '{$1}');
    const operations = paths.get(path) ?? {};
    operations[route.method.toLowerCase()] = describeRoute(route, info);
    paths.set(path, operations);
  }
  return {
    openapi: '3.1.0',
    info: { title: info.title, version: info.version },
    paths: Object.fromEntries([...paths].sort(([a], [b]) => (a < b ? -1 : 1))),
    components: {
      schemas: { Problem: problemSchema },
      ...(info.hasTokens ? { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } } : {}),
    },
  };
}

function describeRoute({ method, url, access, description, schema }: DescribedRoute, info: OpenApiInfo): object {
  const isQuery = description?.isQuery === true;
  return {
    operationId: operationId(method, url),
    ...(description === undefined ? {} : { summary: description.summary }),
    ...(info.hasTokens && access !== 'open' ? { security: [{ bearer: [] }] } : {}),
    parameters: [
      ...parametersOf('path', schema?.params),
      ...parametersOf('query', schema?.querystring),
      { name: 'X-Correlation-Id', in: 'header', schema: { type: 'string', pattern: '^[A-Za-z0-9._-]{1,64}$' } },
      ...(isQuery ? [{ name: 'X-Min-Position', in: 'header', schema: { type: 'string' } }] : []),
    ],
    ...(schema?.body === undefined
      ? {}
      : { requestBody: { required: true, content: { 'application/json': { schema: schema.body } } } }),
    responses: responsesOf(description),
  };
}

function operationId(method: string, url: string): string {
  const words = url.split(/[^a-zA-Z]+/).filter((word) => word !== '');
  return [method.toLowerCase(), ...words].map((word, index) => (index === 0 ? word : capital(word))).join('');
}

function capital(word: string): string {
  return `${word.slice(0, 1).toUpperCase()}${word.slice(1)}`;
}

function parametersOf(place: 'path' | 'query', schema: unknown): readonly object[] {
  if (!isObject(schema) || !isObject(schema['properties'])) return [];
  const required: readonly unknown[] = Array.isArray(schema['required']) ? schema['required'] : [];
  return Object.entries(schema['properties']).map(([name, property]) => ({
    name,
    in: place,
    required: place === 'path' || required.includes(name),
    schema: property,
  }));
}

function responsesOf(description: RouteDescription | undefined): object {
  const isQuery = description?.isQuery === true;
  const produces = description?.produces ?? ['application/json'];
  const headers = ['X-Correlation-Id', ...(isQuery ? ['X-Position', 'X-Served-By', 'X-Stale', 'X-Stale-Lag'] : [])];
  const responses: Record<string, object> = {
    200: {
      description: description?.success ?? 'done',
      headers: Object.fromEntries(headers.map((name) => [name, { schema: { type: 'string' } }])),
      content: Object.fromEntries(produces.map((type) => [type, {}])),
    },
    default: { description: 'a problem', content: problemContent },
  };
  for (const [status, codes] of Object.entries(description?.problems ?? {}))
    responses[status] = { description: codes.join(', '), content: problemContent };
  return responses;
}

const problemContent = { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } };

const text = { type: 'string' };

const problemSchema = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'code', 'instance', 'correlationId'],
  properties: {
    type: text,
    title: text,
    status: { type: 'integer' },
    detail: text,
    code: { ...text, description: 'stable; match on this' },
    instance: text,
    correlationId: text,
  },
};
