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
  /** Status of the next answers, instead of paying; -1: it is paid, and the answer is lost. */
  readonly answers: number[] = [];
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
      const status = this.answers.shift() ?? 201;
      if (status === 201 || status === -1) this.paid.set(key, body);
      if (status === -1) request.raw.socket.destroy();
      return await reply.code(status === -1 ? 201 : status).send({ id: `paid-${String(this.paid.size)}` });
    });
    this.url = `${await this.#app.listen({ host: '127.0.0.1', port: 0 })}/payouts`;
  }

  async stop(): Promise<void> {
    await this.#app.close();
  }
}
