import type {
  HoldCommand,
  LedgerCommand,
  PostCommand,
  PostHeldCommand,
  StatusCommand,
} from '../../../schemas/app/billing/ledger-command.ts';

/** What an account has been through, as a list that is summed up anew for every question. */
interface Book {
  readonly floor: bigint;
  readonly ceiling: bigint;
  readonly currency: string;
  readonly isUserWithoutMinimum: boolean;
  readonly hasMaximum: boolean;
  status: string;
  readonly moves: bigint[];
  readonly holds: Map<string, { readonly side: string; readonly amount: bigint }>;
}

type MovingCommand = HoldCommand | PostCommand | PostHeldCommand;

function isTurn(command: LedgerCommand): command is StatusCommand {
  return ['FREEZE', 'UNFREEZE', 'CLOSE'].includes(command.kind);
}

const most = 99_999_999_999_999_999_999n;
const sum = (amounts: Iterable<bigint>): bigint => [...amounts].reduce((total, amount) => total + amount, 0n);

/** The ledger again, by other means: without versions, stored sums or events. For commands without limits changes. */
export class ReferenceLedger {
  readonly books = new Map<string, Book>();
  readonly #answers = new Map<string, string>();

  /** `ok`, or the code of the refusal. A command id is answered once for ever. */
  answer(command: LedgerCommand): string {
    const id = `${command.accountId} ${command.commandId}`;
    const known = this.#answers.get(id);
    if (known !== undefined) return known;
    const answer = this.#carryOut(command);
    this.#answers.set(id, answer);
    return answer;
  }

  balance(accountId: string): bigint {
    return sum(this.books.get(accountId)?.moves ?? []);
  }

  held(accountId: string, side: string): bigint {
    const holds = [...(this.books.get(accountId)?.holds.values() ?? [])];
    return sum(holds.filter((hold) => hold.side === side).map(({ amount }) => amount));
  }

  #carryOut(command: LedgerCommand): string {
    const book = this.books.get(command.accountId);
    if (command.kind === 'OPEN') return this.#open(command, book);
    if (command.kind === 'VOID') {
      book?.holds.delete(command.holdId);
      return 'ok';
    }
    if (book === undefined) return 'account_not_found';
    if (isTurn(command)) return this.#turn(command, book);
    if (command.kind === 'SET_LIMITS') throw new Error('limits stay as they are here');
    return this.#move(command, book);
  }

  #move(command: MovingCommand, book: Book): string {
    const side = command.kind.endsWith('DEBIT') ? 'debit' : 'credit';
    if (!('amount' in command)) return this.#settle(command, book, side);
    if (command.currency !== book.currency) return 'currency_mismatch';
    if (book.status !== 'ACTIVE') return `account_${book.status.toLowerCase()}`;
    const refusal = this.#room(command.accountId, side, command.amount);
    if (refusal !== undefined) return refusal;
    if (command.kind.startsWith('HOLD')) book.holds.set(command.commandId, { side, amount: command.amount });
    else book.moves.push(side === 'debit' ? -command.amount : command.amount);
    return 'ok';
  }

  #settle(command: PostHeldCommand, book: Book, side: string): string {
    const hold = book.holds.get(command.holdId);
    if (hold?.side !== side) return 'hold_not_found';
    book.holds.delete(command.holdId);
    book.moves.push(side === 'debit' ? -hold.amount : hold.amount);
    return 'ok';
  }

  #open(command: Extract<LedgerCommand, { kind: 'OPEN' }>, book: Book | undefined): string {
    if (book !== undefined) return 'account_exists';
    const { minBalance, maxBalance, ownerType, currency } = command.terms;
    const floor = minBalance ?? (ownerType === 'USER' ? 0n : -most);
    const ceiling = maxBalance ?? most;
    if (floor > 0n || ceiling < 0n) return 'limits_invalid';
    this.books.set(command.accountId, {
      floor,
      ceiling,
      currency,
      isUserWithoutMinimum: minBalance === undefined,
      hasMaximum: maxBalance !== undefined,
      status: 'ACTIVE',
      moves: [],
      holds: new Map(),
    });
    return 'ok';
  }

  #turn(command: LedgerCommand, book: Book): string {
    const fits = {
      FREEZE: book.status === 'ACTIVE',
      UNFREEZE: book.status === 'FROZEN',
      CLOSE: book.status !== 'CLOSED',
    } as Record<string, boolean>;
    if (fits[command.kind] !== true) return 'status_conflict';
    if (command.kind === 'CLOSE') {
      if (book.holds.size > 0) return 'holds_open';
      if (sum(book.moves) !== 0n) return 'balance_not_zero';
    }
    book.status = { FREEZE: 'FROZEN', UNFREEZE: 'ACTIVE' }[command.kind as string] ?? 'CLOSED';
    return 'ok';
  }

  #room(accountId: string, side: string, amount: bigint): string | undefined {
    const book = this.books.get(accountId)!;
    const balance = this.balance(accountId);
    if (side === 'credit') {
      const full = balance + this.held(accountId, 'credit') + amount;
      if (full > most) return 'overflow';
      return full > book.ceiling ? 'balance_limit_exceeded' : undefined;
    }
    const left = balance - this.held(accountId, 'debit') - amount;
    if (left < -most) return 'overflow';
    if (left >= book.floor) return undefined;
    return book.isUserWithoutMinimum ? 'insufficient_balance' : 'below_min_balance';
  }
}
