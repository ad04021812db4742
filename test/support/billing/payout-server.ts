/** Somebody who pays out, as far as an application can tell: over HTTP, once for each key; slow, away or unclear when told so. */
import Fastify, { type FastifyInstance } from 'fastify';

interface Asked {
  readonly key: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly authorization: string | undefined;
}

export class PayoutServer {
  readonly asked: Asked[] = [];
  /** By key, in order: what was paid. */
  readonly paid = new Map<string, Readonly<Record<string, unknown>>>();
  /** Status of the next answers, instead of paying; -1: it is decided, and the answer is lost. */
  readonly answers: number[] = [];
  /** Whose payouts are refused, however often they are asked for. */
  refuses: (body: Readonly<Record<string, unknown>>) => boolean = () => false;
  /** Called before each answer. */
  onRequest: () => Promise<void> | void = () => undefined;
  readonly #app: FastifyInstance = Fastify({ forceCloseConnections: true });
  url = '';

  async start(): Promise<void> {
    this.#app.post<{ Body: Readonly<Record<string, unknown>> }>('/payouts', async (request, reply) => {
      const { headers, body } = request;
      const key = String(headers['idempotency-key']);
      this.asked.push({ key, body, authorization: headers.authorization });
      await this.onRequest();
      const answer = this.answers.shift();
      const decision = this.refuses(body) ? 422 : 201;
      const status = answer === undefined || answer === -1 ? decision : answer;
      if (status === 201) this.paid.set(key, body);
      if (answer === -1) request.raw.socket.destroy();
      return await reply.code(status).send({ id: `paid-${String(this.paid.size)}` });
    });
    this.url = `${await this.#app.listen({ host: '127.0.0.1', port: 0 })}/payouts`;
  }

  async stop(): Promise<void> {
    await this.#app.close();
  }
}
