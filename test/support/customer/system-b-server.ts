/** System B as far as a poller can tell: customers over REST, in pages, with tags; slow, busy or away when told so. */
import { createHash } from 'node:crypto';
import Fastify, { type FastifyInstance } from 'fastify';

export interface CustomerOfB {
  readonly uuid: string;
  readonly email: string;
  readonly name: string;
  readonly address?: string;
  readonly phone?: string;
  readonly updatedAt: string;
}

export interface AskedOfB {
  readonly updatedSince: string | undefined;
  readonly cursor: string | undefined;
  readonly status: number;
}

interface Refusal {
  readonly status: number;
  readonly retryAfter?: string;
}

interface Query {
  readonly updatedSince?: string;
  readonly cursor?: string;
  readonly limit?: string;
}

export class SystemBServer {
  readonly customers = new Map<string, CustomerOfB>();
  readonly asked: AskedOfB[] = [];
  /** That were made. */
  readonly patches: Partial<CustomerOfB>[] = [];
  /** Answers to the next requests, instead of customers. */
  readonly refusals: Refusal[] = [];
  /** Every request fails. */
  isAway = false;
  /** Of three changes that are made nobody is told of one: no breaker opens for that. */
  losesAnswers = false;
  /** Called before each answer. */
  onRequest: (query: Query) => Promise<void> | void = () => undefined;
  readonly #app: FastifyInstance = Fastify({ forceCloseConnections: true });
  url = '';

  async start(): Promise<void> {
    this.#app.get<{ Querystring: Query }>('/api/customers', async (request, reply) => {
      const { query } = request;
      await this.onRequest(query);
      const refusal: Refusal | undefined = this.isAway ? { status: 503 } : this.refusals.shift();
      if (refusal !== undefined) {
        this.#note(query, refusal.status);
        if (refusal.retryAfter !== undefined) void reply.header('retry-after', refusal.retryAfter);
        return await reply.code(refusal.status).send({ error: 'not now' });
      }
      const body = this.#page(query);
      const etag = tagOf(body);
      void reply.header('etag', etag);
      if (request.headers['if-none-match'] === etag) {
        this.#note(query, 304);
        return await reply.code(304).send();
      }
      this.#note(query, 200);
      return body;
    });
    this.#changes();
    this.url = `${await this.#app.listen({ host: '127.0.0.1', port: 0 })}/api`;
  }

  async stop(): Promise<void> {
    await this.#app.close();
  }

  put(customer: CustomerOfB): void {
    this.customers.set(customer.uuid, customer);
  }

  /** Single customers, read and changed under their tags. */
  #changes(): void {
    const path = '/api/customers/:uuid';
    this.#app.addContentTypeParser('application/merge-patch+json', { parseAs: 'string' }, (_request, text, done) =>
      done(null, JSON.parse(String(text))),
    );
    this.#app.get<{ Params: { uuid: string } }>(path, async ({ params }, reply) => {
      const found = this.customers.get(params.uuid);
      if (this.isAway) return await reply.code(503).send();
      return found === undefined ? await reply.code(404).send() : await reply.header('etag', tagOf(found)).send(found);
    });
    this.#app.patch<{ Params: { uuid: string }; Body: Partial<CustomerOfB> }>(path, async (request, reply) => {
      await this.onRequest({});
      const found = this.customers.get(request.params.uuid);
      if (found === undefined) return await reply.code(404).send();
      if (request.headers['if-match'] !== tagOf(found)) return await reply.code(412).send();
      if (request.body.name === '?') return await reply.code(422).send();
      this.patches.push(request.body);
      this.put({ ...found, ...request.body, updatedAt: new Date().toISOString() });
      if (this.losesAnswers && this.patches.length % 3 === 0) reply.raw.destroy();
      return await reply.code(204).send();
    });
  }

  #note({ updatedSince, cursor }: Query, status: number): void {
    this.asked.push({ updatedSince, cursor, status });
  }

  /** In order of uuids; the cursor is the last one of the page before. */
  #page({ updatedSince, cursor, limit }: Query): object {
    const since = updatedSince === undefined ? -Infinity : Date.parse(updatedSince);
    const found = [...this.customers.values()]
      .filter(({ updatedAt, uuid }) => Date.parse(updatedAt) >= since && (cursor === undefined || uuid > cursor))
      .sort((left, right) => (left.uuid < right.uuid ? -1 : 1));
    const items = found.slice(0, Number(limit ?? '100'));
    return { items, next: items.length < found.length ? (items.at(-1)?.uuid ?? null) : null };
  }
}

const tagOf = (body: object): string => `"${createHash('sha256').update(JSON.stringify(body)).digest('hex')}"`;

/** The n-th customer, as of an hour's minute. */
export function customerOfB(index: number, minute = 0, more: Partial<CustomerOfB> = {}): CustomerOfB {
  return {
    uuid: `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`,
    email: `user${String(index)}@example.com`,
    name: `User ${String(index)}`,
    phone: `+49 30 ${String(index)}`,
    updatedAt: `2026-01-01T10:${String(minute).padStart(2, '0')}:00.000Z`,
    ...more,
  };
}
