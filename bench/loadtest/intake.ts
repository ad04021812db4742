/** The ways in which a load test hands in commands. */
import { Agent, request as ask } from 'node:http';
import { systemClock } from '../../clock.ts';
import type { Log } from '../../connectors/log.ts';
import { batchesOf } from '../../connectors/outgoing-record.ts';
import type { BillingTopics } from '../../schemas/app/billing/topics.ts';
import { recordOf, type Command } from './transfers.ts';

export interface Intake {
  /** Commands that are handed in together. */
  readonly sliceMax: number;
  /** Slices under way at one time. */
  readonly slicesMax: number;
  /** Resolves once all of them are accepted; rejects if one is refused. */
  accept(commands: readonly Command[]): Promise<void>;
  close(): Promise<void>;
}

/** Straight into `billing.requests`, as the API would write it: what billing itself can take. */
export async function recordIntake(log: Log, topics: BillingTopics): Promise<Intake> {
  const described = await log.admin.describeTopics([topics.requests.name]);
  const partitions = new Map([[topics.requests.name, described.get(topics.requests.name)?.partitions ?? 1]]);
  const producer = await log.producer({});
  return {
    sliceMax: 1_000,
    slicesMax: 1,
    accept: async (commands) => {
      const nowMs = systemClock.nowMs();
      const records = commands.map((command) => recordOf(topics, command, nowMs));
      await producer.send(batchesOf(records, partitions));
    },
    close: () => producer.close(),
  };
}

/** An HTTP client that keeps its connections, and takes turns with the processes that it asks. */
export class HttpClient {
  readonly #urls: readonly string[];
  readonly #headers: Readonly<Record<string, string>>;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 });
  #turn = 0;

  constructor(urls: readonly string[], token: string | undefined) {
    this.#urls = urls;
    this.#headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  }

  /** The answer's body; rejects unless its status is `expected`. */
  async ask(path: string, expected: number, body?: object): Promise<unknown> {
    const url = new URL(path, this.#urls[this.#turn++ % this.#urls.length]);
    const text = body === undefined ? undefined : JSON.stringify(body);
    const type =
      text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
    return await new Promise((resolve, reject) => {
      const options = {
        method: text === undefined ? 'GET' : 'POST',
        agent: this.#agent,
        headers: { ...this.#headers, ...type },
      };
      const sent = ask(url, options, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', reject);
        answer.on('end', () => {
          const got = Buffer.concat(chunks).toString('utf8');
          if (answer.statusCode === expected) resolve(JSON.parse(got));
          else reject(new Error(`${path}: ${String(answer.statusCode)} ${got.slice(0, 500)}`));
        });
      });
      sent.on('error', reject);
      sent.end(text);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

export const paths = {
  open: '/accounts',
  topup: '/transactions/topup',
  withdraw: '/transactions/withdraw',
  transfer: '/transactions/transfer',
  refund: '/transactions/refund',
} as const;

/** Times that a command is handed in which cannot be taken at the moment, and the wait between two. */
const again = { attemptsMax: 100, waitMs: 100 } as const;

/** Many commands in one request. What cannot be taken at the moment is handed in again, under the same key. */
export function bulkIntake(client: HttpClient): Intake {
  return {
    sliceMax: 500,
    slicesMax: 4,
    accept: async (commands) => {
      let left = commands;
      for (let attempt = 1; left.length > 0; attempt += 1) {
        const answer = await client.ask('/transactions/bulk', 207, {
          commands: left.map(({ type, body }) => ({ type, ...body })),
        });
        const { items } = answer as { readonly items: readonly { readonly status: number }[] };
        const refused = items.find(({ status }) => status !== 202 && status !== 503);
        left = left.filter((_, index) => items[index]?.status === 503);
        if (refused !== undefined || attempt >= again.attemptsMax)
          throw new Error(`refused: ${JSON.stringify(refused ?? 'not taken for too long')}`);
        if (left.length > 0) await systemClock.sleep(again.waitMs);
      }
    },
    close: () => Promise.resolve(),
  };
}
