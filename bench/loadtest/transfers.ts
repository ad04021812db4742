/** What a load test asks for: accounts with money, and small transfers between them that nothing speaks against. */
import { fingerprintOf, txIdOf } from '../../api/app/billing-accept.ts';
import type { CommandName } from '../../api/app/billing-commands.ts';
import { readSubject } from '../../api/app/billing-commands.ts';
import type { OutgoingRecord } from '../../connectors/outgoing-record.ts';
import type { BillingTopics } from '../../schemas/app/billing/topics.ts';

/** A command as the API takes it, with what it is called. */
export interface Command {
  readonly type: Exclude<CommandName, 'import'>;
  readonly txId: string;
  readonly body: Readonly<Record<string, string>> & { readonly idempotencyKey: string };
}

const currency = 'USD';
const bank = 'external:bank';
/** So much that no account runs out of it. */
const fund = '1000000';
const amount = '0.01';

function command(type: Command['type'], idempotencyKey: string, body: Readonly<Record<string, string>>): Command {
  return { type, txId: txIdOf(idempotencyKey), body: { ...body, idempotencyKey } };
}

/** Names are unique to the run, so that one log bears many. */
export function accountsOf(run: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${run}-${String(index)}`);
}

export function openings(accounts: readonly string[]): readonly Command[] {
  const terms = { ownerId: 'load', ownerType: 'USER', accountType: 'wallet', currency };
  return accounts.map((accountId) => command('open', `open-${accountId}`, { ...terms, accountId }));
}

export function fundings(accounts: readonly string[]): readonly Command[] {
  const sum = { sourceAccountId: bank, amount: fund, currency };
  return accounts.map((accountId) =>
    command('topup', `fund-${accountId}`, { ...sum, destinationAccountId: accountId }),
  );
}

/** Each between two accounts drawn by `random`, which is uniform in [0, 1). */
export function* transfers(run: string, accounts: readonly string[], random: () => number): Generator<Command, never> {
  for (let index = 0; ; index += 1) {
    const from = Math.floor(random() * accounts.length);
    const to = (from + 1 + Math.floor(random() * (accounts.length - 1))) % accounts.length;
    yield command('transfer', `${run}-t${String(index)}`, {
      sourceAccountId: accounts[from] ?? '',
      destinationAccountId: accounts[to] ?? '',
      amount,
      currency,
    });
  }
}

/** The record that the API writes for a command. */
export function recordOf({ requests }: BillingTopics, { type, txId, body }: Command, nowMs: number): OutgoingRecord {
  const { idempotencyKey } = body;
  const subject = readSubject(type, body, txIdOf);
  const about = { txId, idempotencyKey, fingerprint: fingerprintOf(subject), actorId: 'load', correlationId: txId };
  const value = requests.value.serialize({ ...about, ...subject, requestedAt: nowMs * 1_000 });
  return { topic: requests.name, key: requests.key.serialize(txId), value, headers: [], timestampMs: nowMs };
}
