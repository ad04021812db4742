/** A client of billing over HTTP, as one should be: what got no answer is asked for again, under the same key. */
import { systemClock } from '../../../clock.ts';
import { seeded } from '../seeded.ts';

type Body = Readonly<Record<string, string>>;

const bank = 'external:bank';
const currency = 'USD';
/** Commands under way at once. */
const lanes = 8;
const retryMs = 100;
const answerMsMax = 15_000;

export class BillingClient {
  /** Of processes that may answer. */
  urls: readonly string[];
  /** Keys of what was answered with 202. */
  readonly accepted = new Set<string>();
  readonly #patienceMs: number;
  #turn = 0;

  constructor(urls: readonly string[], patienceMs: number) {
    this.urls = urls;
    this.#patienceMs = patienceMs;
  }

  /** Resolves once every process is ready. */
  async ready(): Promise<void> {
    for (const url of this.urls)
      await this.#insist('readiness', async () =>
        (await ask(`${url}/health/ready`)).status === 200 ? true : undefined,
      );
  }

  async open(accountId: string): Promise<void> {
    const account = { accountId, ownerId: 'o', ownerType: 'USER', accountType: 'wallet', currency, maxBalance: '250' };
    await this.#command(`open-${accountId}`, '/accounts', account);
    await this.outcome(`open-${accountId}`);
  }

  async topUp(key: string, destinationAccountId: string, amount: string): Promise<void> {
    await this.#command(key, '/transactions/topup', { sourceAccountId: bank, destinationAccountId, amount, currency });
  }

  /** Transfers above all, but also withdrawals, and refunds of what was asked for before; some of it more than there is. */
  async mixture(users: readonly string[], count: number, seed: number): Promise<void> {
    const random = seeded(seed);
    const userOf = (): string => users[Math.floor(random() * users.length)] ?? '';
    const commands = Array.from({ length: count }, (_, index) => {
      const [from, to] = [userOf(), userOf()];
      const amount = String(1 + Math.floor(random() * 60));
      const original = `fund-${userOf()}`;
      return { key: `k${String(index)}`, from, to, amount, original, kind: random() };
    });
    let next = 0;
    const lane = async (): Promise<void> => {
      for (let command = commands[next++]; command !== undefined; command = commands[next++]) {
        const { key, from, to, amount, original, kind } = command;
        if (kind < 0.1)
          await this.#command(key, '/transactions/refund', { originalTrackingId: original, amount, currency });
        else if (kind < 0.2 || from === to)
          await this.#command(key, '/transactions/withdraw', {
            sourceAccountId: from,
            destinationAccountId: bank,
            amount,
            currency,
          });
        else
          await this.#command(key, '/transactions/transfer', {
            sourceAccountId: from,
            destinationAccountId: to,
            amount,
            currency,
          });
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
  }

  /** How everything that was accepted ended: how many of each. */
  async outcomes(): Promise<ReadonlyMap<string, number>> {
    const counts = new Map<string, number>();
    for (const key of this.accepted) {
      const status = await this.outcome(key);
      counts.set(status, (counts.get(status) ?? 0) + 1);
    }
    return counts;
  }

  async outcome(key: string): Promise<string> {
    return await this.#insist(`the outcome of ${key}`, async () => {
      const { status, body } = await ask(`${this.#url()}/transactions/status/${key}`);
      const answer = status === 200 ? String(body['status']) : 'processing';
      return answer === 'processing' ? undefined : answer;
    });
  }

  /** As of that version, or a later one. */
  async balanceAfter(accountId: string, version: number): Promise<Readonly<Record<string, unknown>>> {
    return await this.#insist(`version ${String(version)} of ${accountId}`, async () => {
      const token = encodeURIComponent(`${accountId}@${String(version)}`);
      const { status, body } = await ask(`${this.#url()}/accounts/${accountId}/balance?after=${token}`);
      return status === 200 ? body : undefined;
    });
  }

  /** Which generation of balances answers, for each process. */
  async generations(): Promise<string> {
    const answers = await Promise.all(this.urls.map((url) => ask(`${url}/admin/projections/balance`)));
    return answers.map(({ body }) => String(body['serving'])).join(' ');
  }

  async #command(key: string, path: string, body: Body): Promise<void> {
    await this.#insist(`an answer to ${key}`, async () => {
      const { status, body: answer } = await ask(`${this.#url()}${path}`, { ...body, idempotencyKey: key });
      if (status >= 400 && status < 500) throw new Error(`${key}: ${status} ${String(answer['code'])}`);
      return status === 202 ? true : undefined;
    });
    this.accepted.add(key);
  }

  #url(): string {
    return this.urls[this.#turn++ % this.urls.length] ?? '';
  }

  async #insist<T>(what: string, attempt: () => Promise<T | undefined>): Promise<T> {
    const untilMs = systemClock.monotonicMs() + this.#patienceMs;
    while (systemClock.monotonicMs() < untilMs) {
      const answer = await attempt();
      if (answer !== undefined) return answer;
      await systemClock.sleep(retryMs);
    }
    throw new Error(`waited ${String(this.#patienceMs)} ms in vain: ${what}`);
  }
}

interface Answer {
  /** 0: none came. */
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

async function ask(url: string, body?: Body): Promise<Answer> {
  const sent =
    body === undefined
      ? {}
      : { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  try {
    const response = await fetch(url, { ...sent, signal: AbortSignal.timeout(answerMsMax) });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  } catch {
    return { status: 0, body: {} };
  }
}
