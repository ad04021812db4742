import fc from 'fast-check';
import type { LedgerCommand } from '../../../schemas/app/billing/ledger-command.ts';
import type { AccountTerms } from '../../../schemas/app/billing/account.ts';
import { parseAmount } from '../../../schemas/app/billing/money.ts';
import type { Header } from '../../../schemas/record.ts';

/** An amount, which the text must be. */
export function money(text: string): bigint {
  const amount = parseAmount(text);
  if (typeof amount === 'string') throw new Error(`${text}: ${amount}`);
  return amount;
}

export const userTerms: AccountTerms = {
  ownerId: 'u',
  ownerType: 'USER',
  accountType: 'wallet',
  currency: 'USD',
  maxBalance: money('30'),
};

const merchantTerms: AccountTerms = { ...userTerms, ownerType: 'MERCHANT', minBalance: -money('5') };

const base = { txId: 't', effectiveAt: 1_000_000 };
const amounts = fc.constantFrom('0.00000001', '1', '2.5', '10', '25', '999999999999.99999999').map(money);
const accountIds = fc.constantFrom('ann', 'bob', 'shop', 'nobody');

type Draft = LedgerCommand extends infer C ? (C extends LedgerCommand ? Omit<C, 'commandId'> : never) : never;

const movement = fc.record({ amount: amounts, currency: fc.constantFrom('USD', 'USD', 'USD', 'USD', 'EUR') });
const drafts: fc.Arbitrary<Draft> = fc.oneof(
  fc
    .tuple(accountIds, fc.constantFrom('HOLD_DEBIT' as const, 'HOLD_CREDIT' as const), movement)
    .map(([accountId, kind, moved]) => ({ ...base, accountId, kind, ...moved })),
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        accountIds,
        fc.constantFrom('POST_DEBIT' as const, 'POST_CREDIT' as const, 'POST_CREDIT' as const),
        movement,
      )
      .map(([accountId, kind, moved]) => ({ ...base, accountId, kind, counter: 'external:bank', ...moved })),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(accountIds, fc.constantFrom('POST_DEBIT' as const, 'POST_CREDIT' as const), fc.nat(40))
      .map(([accountId, kind, hold]) => ({ ...base, accountId, kind, counter: 'transit', holdId: `c${hold}` })),
  },
  fc
    .tuple(accountIds, fc.nat(40))
    .map(([accountId, hold]) => ({ ...base, accountId, kind: 'VOID' as const, holdId: `c${hold}` })),
  fc
    .tuple(accountIds, fc.constantFrom('FREEZE' as const, 'UNFREEZE' as const, 'UNFREEZE' as const, 'CLOSE' as const))
    .map(([accountId, kind]) => ({ ...base, accountId, kind })),
);

const openings: readonly LedgerCommand[] = [
  { ...base, commandId: 'open-ann', accountId: 'ann', kind: 'OPEN', terms: userTerms },
  { ...base, commandId: 'open-bob', accountId: 'bob', kind: 'OPEN', terms: userTerms },
  { ...base, commandId: 'open-shop', accountId: 'shop', kind: 'OPEN', terms: merchantTerms },
];

/** Commands on four accounts, one of which is never opened; some come twice or more. */
export const commandSequences: fc.Arbitrary<readonly LedgerCommand[]> = fc
  .array(fc.tuple(drafts, fc.option(fc.nat(30), { freq: 6 })), { maxLength: 40 })
  .map((steps) => {
    const commands: LedgerCommand[] = [...openings];
    for (const [index, [draft, again]] of steps.entries())
      commands.push((again === null ? undefined : commands[again]) ?? { ...draft, commandId: `c${index}` });
    return commands;
  });

/** What dead letters say is wrong with them. */
export function reasonsOf(letters: readonly { readonly headers: readonly Header[] }[]): readonly string[] {
  return letters.map(({ headers }) => {
    const valueOf = (name: string): Uint8Array | undefined => headers.find(({ key }) => key === name)?.value;
    return Buffer.from(valueOf('rivulet.dlq.reason') ?? valueOf('rivulet.dlq.code') ?? []).toString();
  });
}
