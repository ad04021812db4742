/** Bodies of billing commands, and what they ask for. Everything that a body shows by itself is refused here. */
import { ownerTypes, type AccountTerms } from '../../schemas/app/billing/account.ts';
import { parseAmount, parseLimit, type AmountRefusal } from '../../schemas/app/billing/money.ts';
import { isAccountId, isCurrency, isStriped, uuid5 } from '../../schemas/app/billing/names.ts';
import type { AccountRequest, MovementRequest, RefundRequest } from '../../schemas/app/billing/request.ts';
import { microsFrom } from '../../schemas/app/customer/instant.ts';
import { compact } from '../../schemas/app/reader.ts';
import { Problem } from '../problem.ts';

export type CommandName = 'topup' | 'withdraw' | 'transfer' | 'refund' | 'open' | 'import';

/** A body after its schema was checked: all that it has is text. */
export type BillingBody = Readonly<Record<string, string | undefined>> & { readonly idempotencyKey?: string };

type Told = 'reference' | 'effectiveAt';

/** A request without what is known of it from elsewhere. */
export type Subject =
  | (Pick<MovementRequest, 'type' | 'sourceAccountId' | 'destinationAccountId' | 'amount' | 'currency' | Told> &
      Partial<Pick<MovementRequest, 'requestedAt'>>)
  | Pick<RefundRequest, 'type' | 'originalTxId' | 'amount' | 'currency' | Told>
  | Pick<AccountRequest, 'type' | 'accountId' | 'change' | 'expectedVersion'>;

/** JSON schema of a body: text throughout. */
export interface BodySchema {
  readonly type: 'object';
  readonly additionalProperties: false;
  readonly required: readonly string[];
  readonly properties: Readonly<Record<string, TextSchema>>;
}

interface TextSchema {
  readonly type: 'string';
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly enum?: readonly string[];
}

const text = (maxLength: number): TextSchema => ({ type: 'string', minLength: 1, maxLength });
const common = { idempotencyKey: text(200) };
const money = { amount: text(64), currency: text(10), reference: text(500), effectiveAt: text(40) };

function body(properties: BodySchema['properties'], required: readonly string[]): BodySchema {
  return { type: 'object', additionalProperties: false, required, properties: { ...common, ...properties } };
}

const moved = { sourceAccountId: text(80), destinationAccountId: text(80), ...money };
const movedFully = ['sourceAccountId', 'destinationAccountId', 'amount', 'currency'];
const movement = body(moved, movedFully);

export const bodies: Readonly<Record<CommandName, BodySchema>> = {
  topup: movement,
  withdraw: movement,
  transfer: movement,
  import: body({ ...moved, createdAt: text(40) }, [...movedFully, 'createdAt']),
  refund: body({ originalTrackingId: text(200), ...money }, ['originalTrackingId', 'amount', 'currency']),
  open: body(
    {
      accountId: text(80),
      ownerId: text(200),
      ownerType: { type: 'string', enum: ownerTypes },
      accountType: text(64),
      currency: text(10),
      minBalance: text(64),
      maxBalance: text(64),
    },
    ['ownerId', 'ownerType', 'accountType', 'currency'],
  ),
};

const statusChanges = { FROZEN: 'FREEZE', ACTIVE: 'UNFREEZE', CLOSED: 'CLOSE' } as const;

/** Either a status, or both limits anew. */
export const changeBody = body(
  { status: { type: 'string', enum: Object.keys(statusChanges) }, minBalance: text(64), maxBalance: text(64) },
  [],
);

/** What a change of an account asks for. Throws a `Problem` for one that says nothing, or too much, or not of which version. */
export function readChange(accountId: string, given: BillingBody, ifMatch: string | undefined): Subject {
  const version = /^"(\d{1,15})"$/.exec(ifMatch ?? '')?.[1];
  if (version === undefined)
    throw new Problem(428, 'if_match_missing', 'send If-Match with the entity tag of the balance');
  const base = { type: 'ACCOUNT' as const, accountId: openable(accountId), expectedVersion: Number(version) };
  const { status, minBalance, maxBalance } = given;
  const hasLimits = minBalance !== undefined || maxBalance !== undefined;
  if ((status !== undefined) === hasLimits)
    throw new Problem(422, 'change_invalid', 'a change has either a status or limits');
  if (status === undefined) return { ...base, change: { kind: 'SET_LIMITS', ...limitsOf(given) } };
  const [, kind] = Object.entries(statusChanges).find(([name]) => name === status) ?? ['', 'CLOSE' as const];
  return { ...base, change: { kind } };
}

function openable(value: string | undefined): string {
  const accountId = accountOf(value);
  if (isStriped(accountId))
    throw new Problem(422, 'account_invalid', 'an unbounded account is neither opened nor changed');
  return accountId;
}

function limitsOf({ minBalance, maxBalance }: BillingBody): Pick<AccountTerms, 'minBalance' | 'maxBalance'> {
  return compact({
    minBalance: minBalance === undefined ? undefined : limitOf(minBalance),
    maxBalance: maxBalance === undefined ? undefined : limitOf(maxBalance),
  });
}

/** What a body asks for; it has its key by then. `txIdOf` finds a transaction by its tracking id. Throws a `Problem` 422 for what can never be done. */
export function readSubject(name: CommandName, given: BillingBody, txIdOf: (trackingId: string) => string): Subject {
  if (name === 'open') return readOpening(given);
  const { reference, effectiveAt: date } = given;
  const told = { reference, effectiveAt: date === undefined ? undefined : instantOf(date) };
  const sum = { amount: amountOf(given['amount']), currency: currencyOf(given['currency']) };
  if (name === 'refund')
    return compact({
      type: 'REFUND' as const,
      originalTxId: txIdOf(given['originalTrackingId'] ?? ''),
      ...sum,
      ...told,
    });
  const when = name === 'import' ? importedAt(given, told.effectiveAt) : {};
  return compact({ type: movementTypes[name], ...partiesOf(given), ...sum, ...told, ...when });
}

function partiesOf(given: BillingBody): Pick<MovementRequest, 'sourceAccountId' | 'destinationAccountId'> {
  const sourceAccountId = accountOf(given['sourceAccountId']);
  const destinationAccountId = accountOf(given['destinationAccountId']);
  if (sourceAccountId === destinationAccountId)
    throw new Problem(422, 'same_account', 'source and destination are the same account');
  if (isStriped(sourceAccountId) && isStriped(destinationAccountId))
    throw new Problem(422, 'unbounded_accounts', 'between two unbounded accounts there is nothing to decide');
  return { sourceAccountId, destinationAccountId };
}

/** When it was asked for elsewhere; by then it also counts, unless it says otherwise. */
function importedAt(
  { createdAt = '' }: BillingBody,
  effectiveAt: number | undefined,
): Required<Pick<MovementRequest, 'requestedAt' | 'effectiveAt'>> {
  const requestedAt = instantOf(createdAt);
  return { requestedAt, effectiveAt: effectiveAt ?? requestedAt };
}

const movementTypes = { topup: 'TOPUP', withdraw: 'WITHDRAWAL', transfer: 'TRANSFER', import: 'IMPORT' } as const;

function readOpening(given: BillingBody): Subject {
  const { ownerId = '', accountType = '' } = given;
  // Without one it follows from the key: asked for again it is the same account.
  const accountId = openable(given['accountId'] ?? uuid5('account', given.idempotencyKey ?? ''));
  const terms: AccountTerms = {
    ownerId,
    ownerType: ownerTypes.find((type) => type === given['ownerType']) ?? 'USER',
    accountType,
    currency: currencyOf(given['currency']),
    ...limitsOf(given),
  };
  return { type: 'ACCOUNT', accountId, change: { kind: 'OPEN', terms } };
}

function accountOf(value: string | undefined): string {
  if (value !== undefined && isAccountId(value)) return value;
  throw new Problem(
    422,
    'account_invalid',
    'an account id is 1 to 64 of A-Z a-z 0-9 . _ @ -, or external: or system: and that',
  );
}

function instantOf(text: string): number {
  const micros = microsFrom(text);
  if (micros !== undefined && micros >= 0) return micros;
  throw new Problem(422, 'effective_at_invalid', 'a business date is an instant such as 2026-01-31T12:00:00Z');
}

function currencyOf(value: string | undefined): string {
  if (value !== undefined && isCurrency(value)) return value;
  throw new Problem(422, 'currency_invalid', 'a currency is 3 to 10 capital letters and digits');
}

const amountProblems: Readonly<Record<AmountRefusal, () => Problem>> = {
  amount_invalid: () => new Problem(422, 'amount_invalid', 'an amount is a decimal number as text, such as "10.5"'),
  amount_negative: () => new Problem(422, 'amount_negative', 'an amount is more than zero'),
  amount_zero: () => new Problem(422, 'amount_zero', 'an amount is more than zero'),
  amount_precision: () => new Problem(422, 'amount_precision', 'an amount has up to 8 decimals; it is never rounded'),
  amount_overflow: () => new Problem(422, 'amount_overflow', 'an amount has up to 12 digits before the point'),
};

function amountOf(value: string | undefined): bigint {
  const amount = parseAmount(value);
  if (typeof amount === 'string') throw amountProblems[amount]();
  return amount;
}

function limitOf(value: string): bigint {
  const limit = parseLimit(value);
  if (typeof limit === 'string') throw amountProblems[limit]();
  return limit;
}
