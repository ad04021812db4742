/** A schema registry with Confluent's REST interface, over HTTP. */
import { COMPATIBILITY, SchemaRegistry as Client, SchemaType } from '@kafkajs/confluent-schema-registry';
import type { Clock } from '../../clock.ts';
import { StreamError } from '../../errors.ts';
import type { CompatibilityLevel, SchemaRegistry } from '../../schemas/schema-registry.ts';

export interface ConfluentRegistryOptions {
  /** With the path under which the interface lies, if any: `http://registry:8080/apis/ccompat/v7`. */
  readonly url: string;
  readonly auth?: { readonly username: string; readonly password: string };
  readonly clock: Clock;
}

/** The client itself sets no limit to how long an answer may take. */
const answerMsMax = 10_000;
/** Given in full each time: the client keeps what one of them says for all later ones. */
const retry = { maxRetryTimeInSecs: 1, initialRetryTimeInSecs: 0.1, factor: 0.2, multiplier: 2, retries: 1 };

type Middleware = NonNullable<ConstructorParameters<typeof Client>[0]['middlewares']>[number];

/** A registry behind a URL. Nothing is asked before it is needed. */
export function confluentRegistry({ url, auth, clock }: ConfluentRegistryOptions): SchemaRegistry {
  const texts = new Map<number, string>();
  const client = new Client({
    host: url.replace(/\/$/, ''),
    clientId: 'rivulet',
    retry,
    middlewares: [keepTexts(texts)],
    ...(auth === undefined ? {} : { auth }),
  });
  return {
    register: async (subject, schema, level) => {
      try {
        const options = { subject, compatibility: compatibilityOf(level) };
        const { id } = await inTime(client.register({ type: SchemaType.AVRO, schema }, options), clock);
        // The client will answer for this number without asking the registry.
        texts.set(id, schema);
        return id;
      } catch (error) {
        throw isRefusal(error)
          ? new StreamError('SCHEMA_REFUSED', `the registry refused the schema: ${reasonOf(error)}`, {
              facts: { subject },
            })
          : unavailable(error);
      }
    },
    schemaOf: async (id) => {
      try {
        await inTime(client.getSchema(id), clock);
      } catch (error) {
        // The client could not make sense of what it got; that is for us to judge.
        if (texts.has(id)) return texts.get(id);
        if (!isUnknown(error)) throw unavailable(error);
      }
      return texts.get(id);
    },
  };
}

/** The texts of schemas, which the client gets to see but does not hand out: it only gives what it has made of them. */
function keepTexts(texts: Map<number, string>): Middleware {
  return () => ({
    response: async (next) => {
      const response = await next();
      const [path = ''] = response.request().path().split('?', 1);
      const id = /\/schemas\/ids\/(\d+)$/.exec(path)?.[1];
      const { schema, schemaType = 'AVRO' } = id === undefined ? {} : parsed(response.rawData());
      if (typeof schema === 'string' && schemaType === 'AVRO') texts.set(Number(id), schema);
      return response;
    },
  });
}

/** The registry itself says that it has no such schema, in words; whatever else may listen at a wrong address answers 404 without them. */
function isUnknown(error: unknown): boolean {
  return statusOf(error) === 404 && !/ - Error, status 404/.test(error instanceof Error ? error.message : '');
}

function statusOf(error: unknown): number | undefined {
  const status = typeof error === 'object' && error !== null && 'status' in error ? error.status : undefined;
  return typeof status === 'number' ? status : undefined;
}

function parsed(body: string | null): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body ?? '');
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

async function inTime<T>(answer: Promise<T>, clock: Clock): Promise<T> {
  let give: (error: Error) => void = () => undefined;
  const late = new Promise<never>((_resolve, reject) => {
    give = reject;
  });
  const timer = clock.timer(answerMsMax, () => give(new Error(`no answer within ${answerMsMax} ms`)));
  try {
    return await Promise.race([answer, late]);
  } finally {
    timer.cancel();
  }
}

function compatibilityOf(level: CompatibilityLevel): COMPATIBILITY {
  return COMPATIBILITY[level];
}

/** 409 and 422, and the client's own refusal where the subject has another level. Everything else may pass: 400 is also what an unreachable registry looks like. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const status = statusOf(error);
  return status === 409 || status === 422 || /Compatibility/.test(error.name);
}

function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/^[\w-]+ - /, '').slice(0, 1_000);
}

function unavailable(cause: unknown): StreamError {
  const status = statusOf(cause);
  return new StreamError(
    'REGISTRY_UNAVAILABLE',
    `the schema registry does not answer: ${reasonOf(cause).slice(0, 200)}`,
    {
      facts: { status },
      cause,
    },
  );
}
