import type { AccountEvent } from '../../../schemas/app/billing/account-event.ts';

interface Known {
  readonly version: number;
  readonly balance: bigint;
  readonly floor: bigint;
  readonly ceiling: bigint;
  readonly recordedAt: number;
}

const most = 99_999_999_999_999_999_999n;

/** Watches `billing.account.events` and throws at the first record after which an invariant does not hold. */
export class Auditor {
  readonly accounts = new Map<string, Known>();
  /** Of accounts and stripes, by currency and name. */
  readonly balances = new Map<string, bigint>();
  readonly holds = new Map<string, bigint>();
  readonly #commands = new Set<string>();
  readonly #imported = new Set<string>();

  watch(event: AccountEvent): void {
    this.#effectOnce(event);
    this.#limits(event);
    this.#contiguous(event);
    this.#balanced(event);
    this.#held(event);
  }

  /** Of all that was ever posted; of transit stripes alone with a prefix. */
  total(prefix = ''): bigint {
    let total = 0n;
    for (const [name, balance] of this.balances) if (name.startsWith(prefix)) total += balance;
    return total;
  }

  #expect(holds: boolean, invariant: string, event: AccountEvent): void {
    if (!holds) throw new Error(`${invariant} is broken by version ${event.aggregateVersion} of ${event.accountId}`);
  }

  #effectOnce(event: AccountEvent): void {
    this.#expect(!this.#commands.has(event.commandId), 'I-M6 (one effect for a command)', event);
    this.#commands.add(event.commandId);
  }

  #contiguous(event: AccountEvent): void {
    const known = this.accounts.get(event.accountId);
    this.#expect(event.aggregateVersion === (known?.version ?? 0) + 1, 'I-M4 (versions)', event);
    this.#expect(event.balanceBefore === (known?.balance ?? 0n), 'I-M4 (balances)', event);
    this.#expect(event.recordedAt >= (known?.recordedAt ?? 0), 'recorded time', event);
    const { floor, ceiling } = limitsOf(event) ?? known ?? { floor: 0n, ceiling: 0n };
    this.accounts.set(event.accountId, {
      floor,
      ceiling,
      version: event.aggregateVersion,
      balance: event.balanceAfter,
      recordedAt: event.recordedAt,
    });
  }

  #limits(event: AccountEvent): void {
    const known = this.accounts.get(event.accountId);
    if ('isImport' in event) this.#imported.add(event.accountId);
    // Imported history may have left an account beyond its limits: ruled out for good.
    if (known === undefined || this.#imported.has(event.accountId)) return;
    this.#expect(event.balanceAfter - event.heldDebit >= known.floor, 'I-M3 (minimum)', event);
    this.#expect(event.balanceAfter + event.heldCredit <= known.ceiling, 'I-M3 (maximum)', event);
  }

  #balanced(event: AccountEvent): void {
    if (event.type !== 'BalanceChanged') {
      this.#expect(event.balanceAfter === event.balanceBefore, 'I-M1 (only postings move money)', event);
      return;
    }
    let sum = 0n;
    for (const { account, amount } of event.postings) {
      this.balances.set(account, (this.balances.get(account) ?? 0n) + amount);
      sum += amount;
    }
    // What every record keeps, all records together keep, on any prefix of any partition.
    this.#expect(sum === 0n, 'I-M1 (sum of money)', event);
    this.#expect(this.balances.get(event.accountId) === event.balanceAfter, 'I-M8 (balance is the sum)', event);
  }

  #held(event: AccountEvent): void {
    if (event.type === 'FundsReserved' || event.type === 'CreditHeld') this.holds.set(event.holdId, event.amount);
    if (event.type === 'ReservationReleased' || event.type === 'BalanceChanged')
      if (event.holdId !== undefined)
        this.#expect(this.holds.delete(event.holdId), 'a hold ends once, and was there', event);
  }
}

function limitsOf(event: AccountEvent): Pick<Known, 'floor' | 'ceiling'> | undefined {
  if (event.type !== 'AccountCreated') return undefined;
  const { minBalance, maxBalance, ownerType } = event.terms;
  return { floor: minBalance ?? (ownerType === 'USER' ? 0n : -most), ceiling: maxBalance ?? most };
}
