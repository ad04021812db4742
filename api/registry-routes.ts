/** The embedded schema registry over HTTP, with Confluent's paths, answers and error codes. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { StreamError } from '../errors.ts';
import {
  compatibilityLevels,
  type CompatibilityLevel,
  type RegisteredVersion,
  type SubjectRegistry,
} from '../schemas/schema-registry.ts';
import { toProblem } from './problem.ts';
import type { RouteDescription, Routes } from './routes.ts';

/** Where it lies in the API. */
export const registryPath = '/registry';

const mediaType = 'application/vnd.schemaregistry.v1+json';
/** A schema as text in JSON. */
const bodyBytesMax = 1_000_000;

/** An answer that Confluent's clients know. */
class RegistryProblem extends Error {
  readonly status: number;
  readonly errorCode: number;

  constructor(errorCode: number, message: string) {
    super(message);
    this.errorCode = errorCode;
    this.status = errorCode < 1_000 ? errorCode : Math.floor(errorCode / 100);
  }
}

const subjectUnknown = (): RegistryProblem => new RegistryProblem(40401, 'Subject not found.');
const versionUnknown = (): RegistryProblem => new RegistryProblem(40402, 'Version not found.');
const schemaUnknown = (): RegistryProblem => new RegistryProblem(40403, 'Schema not found');

interface Asked {
  readonly subject?: string;
  readonly version?: string;
  readonly id?: string;
}
type Request = FastifyRequest<{ Params: Asked; Querystring: Readonly<Record<string, string | undefined>> }>;

/** The routes, below `registryPath`. */
export function registryRoutes(registry: SubjectRegistry): Routes {
  return ({ app }) => {
    void app.register(
      async (scope) => {
        scope.removeContentTypeParser(['application/json']);
        scope.addContentTypeParser([mediaType, 'application/json'], { parseAs: 'string' }, parseBody);
        scope.setErrorHandler(sendError);
        subjectRoutes(scope, registry);
        versionRoutes(scope, registry);
        schemaRoutes(scope, registry);
        levelRoutes(scope, registry);
        compatibilityRoutes(scope, registry);
      },
      { prefix: registryPath },
    );
  };
}

async function parseBody(_request: FastifyRequest, body: string | Buffer): Promise<unknown> {
  try {
    return body.length === 0 ? undefined : (JSON.parse(body.toString()) as unknown);
  } catch {
    throw new RegistryProblem(400, 'The body is not JSON.');
  }
}

function sendError(error: unknown, _request: FastifyRequest, reply: FastifyReply): void {
  const { status, errorCode, message } = problemOf(error);
  void reply
    .code(status)
    .type(mediaType)
    .send(JSON.stringify({ error_code: errorCode, message }));
}

function problemOf(error: unknown): RegistryProblem {
  if (error instanceof RegistryProblem) return error;
  if (error instanceof StreamError && error.code === 'SCHEMA_REFUSED')
    return new RegistryProblem(error.facts['isIncompatible'] === true ? 409 : 42201, error.message);
  if (error instanceof StreamError && error.code === 'REGISTRY_UNAVAILABLE')
    return new RegistryProblem(50301, error.message);
  const { status, message } = toProblem(error);
  return new RegistryProblem(status, message);
}

type Answer = (request: Request) => unknown;

interface Route {
  readonly access: 'reader' | 'admin';
  readonly summary: string;
  readonly answer: Answer;
}

function add(app: FastifyInstance, method: 'GET' | 'POST' | 'PUT' | 'DELETE', url: string, route: Route): void {
  const description: RouteDescription = {
    summary: route.summary,
    success: 'as of a Confluent registry',
    produces: [mediaType],
  };
  app.route({
    method,
    url,
    // Clients send parameters of registries that know more than this one.
    schema: { querystring: { type: 'object', additionalProperties: true } },
    bodyLimit: bodyBytesMax,
    config: { access: route.access, description },
    handler: async (request: Request, reply) => reply.type(mediaType).send(JSON.stringify(await route.answer(request))),
  });
}

/** Reads are open to readers, changes to administrators. */
const reading = (summary: string, answer: Answer): Route => ({ access: 'reader', summary, answer });
const changing = (summary: string, answer: Answer): Route => ({ access: 'admin', summary, answer });

const isOn = (request: Request, name: string): boolean => request.query[name] === 'true';

function schemaIn({ body }: FastifyRequest): string {
  const {
    schema,
    schemaType = 'AVRO',
    references = [],
  } = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  if (typeof schema !== 'string') throw new RegistryProblem(42201, 'Empty schema');
  if (schemaType !== 'AVRO') throw new RegistryProblem(42201, 'Only AVRO schemas are known here');
  if (!Array.isArray(references) || references.length > 0)
    throw new RegistryProblem(42201, 'References are not known here');
  return schema;
}

function versionsOf(registry: SubjectRegistry, subject: string, includeHidden = false): readonly RegisteredVersion[] {
  const versions = registry.versions(subject, includeHidden);
  if (versions.length === 0) throw subjectUnknown();
  return versions;
}

/** A version by its number, or the last. */
function versionIn(registry: SubjectRegistry, { params }: Request, includeHidden = false): RegisteredVersion {
  const { subject = '', version = '' } = params;
  const versions = versionsOf(registry, subject, includeHidden);
  if (!/^(latest|-1|[1-9]\d{0,8})$/.test(version))
    throw new RegistryProblem(42202, 'The version is neither a number from 1 nor "latest"');
  const isLatest = version === 'latest' || version === '-1';
  const found = isLatest ? versions.at(-1) : versions.find((candidate) => String(candidate.version) === version);
  if (found === undefined) throw versionUnknown();
  return found;
}

const shown = ({ subject, version, id, schema }: RegisteredVersion): object => ({
  subject,
  version,
  id,
  schema: JSON.stringify(schema),
});

function subjectRoutes(app: FastifyInstance, registry: SubjectRegistry): void {
  const ofSubject = '/subjects/:subject';
  add(
    app,
    'GET',
    '/subjects',
    reading('Subjects', (request) => registry.subjects(isOn(request, 'deleted'))),
  );
  add(
    app,
    'POST',
    ofSubject,
    reading('The version that has this schema', (request) => {
      const { subject = '' } = request.params;
      versionsOf(registry, subject);
      const found = registry.find(subject, schemaIn(request));
      if (found === undefined) throw schemaUnknown();
      return shown(found);
    }),
  );
  add(
    app,
    'DELETE',
    ofSubject,
    changing('Deletes a subject', async (request) => {
      const { subject = '' } = request.params;
      return await removed(registry, versionsOf(registry, subject, isOn(request, 'permanent')), request);
    }),
  );
  add(
    app,
    'GET',
    `${ofSubject}/versions`,
    reading('Versions of a subject', (request) => {
      const { subject = '' } = request.params;
      return versionsOf(registry, subject, isOn(request, 'deleted')).map(({ version }) => version);
    }),
  );
  add(
    app,
    'POST',
    `${ofSubject}/versions`,
    changing('Registers a schema', async (request) => {
      const { id } = await registry.add(request.params.subject ?? '', schemaIn(request));
      return { id };
    }),
  );
}

function versionRoutes(app: FastifyInstance, registry: SubjectRegistry): void {
  const ofVersion = '/subjects/:subject/versions/:version';
  add(
    app,
    'GET',
    ofVersion,
    reading('A version', (request) => shown(versionIn(registry, request, isOn(request, 'deleted')))),
  );
  add(
    app,
    'GET',
    `${ofVersion}/schema`,
    reading('The schema of a version', (request) => versionIn(registry, request).schema),
  );
  add(
    app,
    'DELETE',
    ofVersion,
    changing('Deletes a version', async (request) => {
      const version = versionIn(registry, request, isOn(request, 'permanent'));
      await removed(registry, [version], request);
      return version.version;
    }),
  );
}

/** For good only what was deleted before. */
async function removed(
  registry: SubjectRegistry,
  versions: readonly RegisteredVersion[],
  request: Request,
): Promise<readonly number[]> {
  const isPermanent = isOn(request, 'permanent');
  if (isPermanent && versions.some(({ state }) => state === 'live'))
    throw new RegistryProblem(40405, 'It must be deleted before it can be deleted permanently');
  await registry.remove(versions, isPermanent);
  return versions.map(({ version }) => version);
}

function schemaRoutes(app: FastifyInstance, registry: SubjectRegistry): void {
  add(
    app,
    'GET',
    '/',
    reading('That it is there', () => ({})),
  );
  add(
    app,
    'GET',
    '/schemas/types',
    reading('Languages of schemas', () => ['AVRO']),
  );
  add(
    app,
    'GET',
    '/mode',
    reading('Whether it can be written', () => ({ mode: 'READWRITE' })),
  );
  add(
    app,
    'GET',
    '/schemas/ids/:id',
    reading('The schema of a number', async (request) => ({ schema: await schemaText(registry, request) })),
  );
  add(
    app,
    'GET',
    '/schemas/ids/:id/versions',
    reading('Versions that have the schema of a number', async (request) => {
      await schemaText(registry, request);
      const all = registry.subjects(false).flatMap((subject) => registry.versions(subject));
      return all
        .filter(({ id }) => String(id) === request.params.id)
        .map(({ subject, version }) => ({ subject, version }));
    }),
  );
}

async function schemaText(registry: SubjectRegistry, { params: { id = '' } }: Request): Promise<string> {
  const text = /^\d{1,10}$/.test(id) ? await registry.schemaOf(Number(id)) : undefined;
  if (text === undefined) throw schemaUnknown();
  return text;
}

function levelRoutes(app: FastifyInstance, registry: SubjectRegistry): void {
  add(
    app,
    'GET',
    '/config',
    reading('The level of subjects that have none', () => ({ compatibilityLevel: registry.level() })),
  );
  add(
    app,
    'PUT',
    '/config',
    changing('Sets it', async (request) => await leveled(registry, request)),
  );
  add(
    app,
    'GET',
    '/config/:subject',
    reading('The level of a subject', (request) => {
      const { subject = '' } = request.params;
      const level = registry.level(subject) ?? (isOn(request, 'defaultToGlobal') ? registry.level() : undefined);
      if (level === undefined) throw new RegistryProblem(40408, 'The subject has no level of its own');
      return { compatibilityLevel: level };
    }),
  );
  add(
    app,
    'PUT',
    '/config/:subject',
    changing('Sets the level of a subject', async (request) => await leveled(registry, request)),
  );
  add(
    app,
    'DELETE',
    '/config/:subject',
    changing('Takes the level of a subject away', async (request) => {
      const level = registry.level(request.params.subject);
      if (level === undefined) throw subjectUnknown();
      await registry.setLevel(undefined, request.params.subject);
      return { compatibilityLevel: level };
    }),
  );
}

async function leveled(
  registry: SubjectRegistry,
  { body, params }: Request,
): Promise<{ readonly compatibility: CompatibilityLevel }> {
  const wanted: unknown =
    typeof body === 'object' && body !== null && 'compatibility' in body ? body.compatibility : undefined;
  const level = compatibilityLevels.find((candidate) => candidate === wanted);
  if (level === undefined)
    throw new RegistryProblem(42203, `The level must be one of ${compatibilityLevels.join(', ')}`);
  await registry.setLevel(level, params.subject);
  return { compatibility: level };
}

function compatibilityRoutes(app: FastifyInstance, registry: SubjectRegistry): void {
  const path = '/compatibility/subjects/:subject/versions';
  const judged = (request: Request, version?: RegisteredVersion): object => {
    const messages = registry.problems(request.params.subject ?? '', schemaIn(request), version);
    return { is_compatible: messages.length === 0, ...(isOn(request, 'verbose') ? { messages } : {}) };
  };
  add(
    app,
    'POST',
    path,
    reading('Whether a schema could follow', (request) => judged(request)),
  );
  add(
    app,
    'POST',
    `${path}/:version`,
    reading('Whether a schema could follow a version', (request) => judged(request, versionIn(registry, request))),
  );
}
