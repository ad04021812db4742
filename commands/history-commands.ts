/** What a row of history asks of the application, and what it says of balances. */
import { keyOf } from '../api/app/billing-accept.ts';
import { bodies, readSubject, type BillingBody, type CommandName } from '../api/app/billing-commands.ts';
import { Problem } from '../api/problem.ts';
import { parseLimit } from '../schemas/app/billing/money.ts';
import { isStriped } from '../schemas/app/billing/names.ts';
import type { Row } from './history-rows.ts';

/** As `POST /admin/history` takes it. */
export type HistoryItem = Readonly<Record<string, string | undefined>> & {
  readonly type: 'open' | 'import';
  readonly idempotencyKey: string;
};

export interface Change {
  readonly accountId: string;
  readonly amount: bigint;
}

export interface TransactionRow {
  readonly item: HistoryItem;
  /** Of accounts that have a balance: unbounded ones have none. */
  readonly changes: readonly Change[];
}

export interface AccountRow {
  readonly accountId: string;
  /** What the balance has to be in the end, if it says so. */
  readonly balance: bigint | undefined;
  /** Absent for an account that is there already. */
  readonly item: HistoryItem | undefined;
}

type Fields = Readonly<Record<string, string>>;

const transactionFields = [
  'transactionId',
  'idempotencyKey',
  'type',
  'status',
  'sourceAccountId',
  'destinationAccountId',
  'amount',
  'currency',
  'reference',
  'createdAt',
  'completedAt',
];
const accountFields = [
  'accountId',
  'ownerId',
  'ownerType',
  'accountType',
  'currency',
  'minBalance',
  'maxBalance',
  'balance',
  'version',
  'updatedAt',
];

/** Throws a `Problem` for a row that can never be imported. */
export function transactionOf(row: Row): TransactionRow {
  const fields = fieldsOf(row, transactionFields);
  const { transactionId, idempotencyKey = transactionId, type: _type, status, completedAt, ...rest } = fields;
  if (transactionId === undefined || idempotencyKey === undefined)
    throw new Problem(400, 'field_missing', 'transactionId is missing');
  if (status !== undefined && status.toLowerCase() !== 'completed')
    throw new Problem(422, 'status_not_completed', 'only what was completed has moved money');
  const body: BillingBody = {
    ...{ reference: transactionId, ...rest, idempotencyKey },
    ...(completedAt === undefined ? {} : { effectiveAt: completedAt }),
  };
  const subject = subjectOf('import', body);
  if (subject.type !== 'IMPORT') throw new Problem(400, 'row_invalid', 'no transaction');
  const { sourceAccountId, destinationAccountId, amount } = subject;
  const changes = [
    { accountId: sourceAccountId, amount: -amount },
    { accountId: destinationAccountId, amount },
  ].filter(({ accountId }) => !isStriped(accountId));
  return { item: { ...body, type: 'import', idempotencyKey }, changes };
}

/** Throws a `Problem` likewise. One without owner says of an account that is there what its balance has to be. */
export function accountOf(row: Row): AccountRow {
  const { balance: text, version: _version, updatedAt: _updatedAt, ...fields } = fieldsOf(row, accountFields);
  const { accountId } = fields;
  if (accountId === undefined) throw new Problem(400, 'field_missing', 'accountId is missing');
  const balance = text === undefined ? undefined : parseLimit(text);
  if (typeof balance === 'string') throw new Problem(422, balance, 'the balance is no amount');
  if (fields['ownerId'] === undefined && fields['ownerType'] === undefined)
    return { accountId, balance, item: undefined };
  const body = { ...fields, idempotencyKey: `history-${accountId}` };
  subjectOf('open', body);
  return { accountId, balance, item: { ...body, type: 'open' } };
}

function fieldsOf(row: Row, known: readonly string[]): Fields {
  if ('problem' in row) throw new Problem(400, row.problem, 'the row cannot be read');
  const unknown = Object.keys(row.fields).find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Problem(400, 'field_unknown', 'the row has a column that means nothing here');
  return row.fields;
}

/** As the application will see it: what it would refuse by its form is refused here, before anything is sent. */
function subjectOf(name: CommandName, body: BillingBody): ReturnType<typeof readSubject> {
  const { required, properties } = bodies[name];
  for (const field of required)
    if (body[field] === undefined) throw new Problem(400, 'field_missing', `${field} is missing`);
  for (const [field, value = ''] of Object.entries(body)) {
    const { maxLength = Infinity, enum: allowed } = properties[field] ?? {};
    if (value.length > maxLength) throw new Problem(400, 'field_too_long', `${field} may have ${maxLength} characters`);
    if (allowed?.includes(value) === false)
      throw new Problem(400, 'field_invalid', `${field} is none of ${allowed.join()}`);
  }
  keyOf(body, undefined);
  return readSubject(name, body, (trackingId) => trackingId);
}
