/** What a first start asks of billing: accounts are opened and filled, then money goes round without end. */
import { hash } from 'node:crypto';
import type { Header } from '../../index.ts';
import type { AccountTerms } from '../../schemas/app/billing/account.ts';
import { moneyJson } from '../../schemas/app/billing/money.ts';
import { uuid5 } from '../../schemas/app/billing/names.ts';
import type { AccountRequest, MovementRequest, RefundRequest } from '../../schemas/app/billing/request.ts';
import { billingTopics } from '../../schemas/app/billing/topics.ts';
import type { RecordFormat } from '../../schemas/app/record-format.ts';
import { seededRandom } from './seeded-random.ts';

interface SampleRequest {
  readonly topic: string;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly headers: readonly Header[];
  readonly timestampMs: number;
}

/** What the request is about; the rest follows from it and its number. */
type Subject =
  | Pick<MovementRequest, 'type' | 'sourceAccountId' | 'destinationAccountId' | 'amount' | 'currency'>
  | Pick<RefundRequest, 'type' | 'originalTxId' | 'amount' | 'currency'>
  | Pick<AccountRequest, 'type' | 'accountId' | 'change'>;

const seed = 3;
const userCount = 40;
const currency = 'USD';
const cents = 1_000_000n;
const bank = 'external:bank';
/** One in so many transactions is a refund of the one before it. */
const refundEvery = 10;

const users = Array.from({ length: userCount }, (_item, index) => `user-${index}`);
const terms: AccountTerms = { ownerId: 'sample', ownerType: 'USER', accountType: 'wallet', currency };

const keyOf = (index: number): string => `sample-${index}`;
const txIdOf = (index: number): string => uuid5('default', keyOf(index));

function* subjects(random: () => number): Generator<Subject> {
  const anyOf = (ids: readonly string[]): string => ids[Math.floor(random() * ids.length)] ?? bank;
  for (const accountId of users) yield { type: 'ACCOUNT', accountId, change: { kind: 'OPEN', terms } };
  for (const destinationAccountId of users)
    yield { type: 'TOPUP', sourceAccountId: bank, destinationAccountId, amount: 50_000n * cents, currency };
  for (let index = 2 * userCount; ; index += 1) {
    const amount = BigInt(1 + Math.floor(random() * 9_999)) * cents;
    const source = anyOf(users);
    const others = users.filter((user) => user !== source);
    if (index % refundEvery === 0) yield { type: 'REFUND', originalTxId: txIdOf(index - 1), amount: cents, currency };
    else if (random() < 0.1)
      yield { type: 'WITHDRAWAL', sourceAccountId: source, destinationAccountId: bank, amount, currency };
    // Also later: a first top-up may come before the opening of its account, as requests are in no order among each other.
    else if (random() < 0.15)
      yield { type: 'TOPUP', sourceAccountId: bank, destinationAccountId: source, amount: 10_000n * cents, currency };
    else yield { type: 'TRANSFER', sourceAccountId: source, destinationAccountId: anyOf(others), amount, currency };
  }
}

/** Requests without end. Those of every start have the same keys, so that what was done is not done again. */
export function* billingSamples(
  { topicPrefix, format }: { readonly topicPrefix: string; readonly format: RecordFormat },
  nowMs: () => number,
): Generator<SampleRequest> {
  const { requests } = billingTopics(topicPrefix, format);
  let index = 0;
  for (const subject of subjects(seededRandom(seed))) {
    const timestampMs = nowMs();
    const txId = txIdOf(index);
    const fingerprint = hash('sha256', moneyJson(subject) ?? '');
    const about = { idempotencyKey: keyOf(index), fingerprint, actorId: 'sample', correlationId: txId };
    const value = requests.value.serialize({ ...about, ...subject, txId, requestedAt: timestampMs * 1_000 });
    const headers = [{ key: 'correlationId', value: Buffer.from(txId) }];
    yield { topic: requests.name, key: requests.key.serialize(txId), value, headers, timestampMs };
    index += 1;
  }
}
