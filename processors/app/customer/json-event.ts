/** The change events of the pollers: `{eventId, source, operation, timestamp, payload, before?}`. */
import { compact, isStorableText, ownObject, ownValue } from '../../../schemas/app/reader.ts';
import type { ChangeOp, CustomerChange } from '../../../schemas/app/customer/change.ts';
import { sourceRef } from '../../../schemas/app/customer/fields.ts';
import { microsFrom } from '../../../schemas/app/customer/instant.ts';
import { agreedId, heldBack, type ChangeContext, type DecodeResult } from './change-input.ts';
import { namesUpdate, readRow, type Row } from './columns.ts';
import { noColumnTypes } from './connect-schema.ts';
import { canonicalEmail } from './normalise.ts';
import { isRejection, reject, type Rejection } from './rejection.ts';

const operations: ReadonlyMap<string, ChangeOp> = new Map([
  ['SNAPSHOT', 'SNAPSHOT'],
  ['CREATE', 'CREATE'],
  ['UPDATE', 'UPDATE'],
  ['DELETE', 'DELETE'],
]);

/** Whether the value is one of these events, right or wrong. */
export function isJsonEvent(value: object): boolean {
  return typeof ownValue(value, 'operation') === 'string';
}

/** A backfill marks its events as snapshots, whatever operation they name. */
function operationOf(event: object): ChangeOp | undefined {
  const operation = operations.get(String(ownValue(event, 'operation')));
  return operation !== undefined && operation !== 'DELETE' && ownValue(event, 'op') === 'r' ? 'SNAPSHOT' : operation;
}

/**
 * Microseconds that order the event. A change happened when its record was last updated; a deletion is noticed later than that, at the
 * event's own time.
 */
function eventMicros(event: object, row: Row, op: ChangeOp): number | Rejection {
  const timestamp = ownValue(event, 'timestamp') ?? undefined;
  const at = timestamp === undefined ? -1 : (microsFrom(timestamp) ?? NaN);
  if (Number.isNaN(at) || at < -1) return reject('invalid_timestamp', 'timestamp is not an instant');
  const { updatedAt = -1 } = row;
  const micros = op === 'DELETE' || updatedAt < 0 ? Math.max(at, updatedAt) : updatedAt;
  return micros < 0 ? reject('missing_timestamp', 'neither lastUpdated nor timestamp is given') : micros;
}

function eventRow(event: object, context: ChangeContext, op: ChangeOp): Row | Rejection {
  const payload = ownObject(event, 'payload') ?? (op === 'DELETE' ? ownObject(event, 'before') : undefined);
  if (payload === undefined) return reject('missing_row', 'the event has no payload');
  const row = readRow(payload, context.source, noColumnTypes);
  if (!isRejection(row) && row.updatedAt === undefined && namesUpdate(payload))
    return reject('invalid_timestamp', 'lastUpdated is not an instant');
  return row;
}

/** The row with the address of the key, if it does not speak of one itself. */
function withEmail(row: Row, { key }: ChangeContext): Pick<Row, 'emailRaw' | 'present'> {
  if (row.present.includes('email') || key.email === undefined) return row;
  return { emailRaw: key.email, present: [...row.present, 'email'] };
}

function eventChange(
  event: object,
  row: Row,
  context: ChangeContext,
  { op, micros }: { readonly op: ChangeOp; readonly micros: number },
): CustomerChange | Rejection {
  // A poller's bare key is an address or anything else it partitions by, never the record's id.
  const id = agreedId(row.id, context.key.form === 'plain' ? { form: 'absent' } : context.key);
  if (isRejection(id)) return id;
  const ts = heldBack(micros, context);
  const identity = {
    eventId: eventIdOf(event) ?? `event:${sourceRef(context.source, id)}:${op}:${ts}`,
    source: context.source,
    sourceId: id,
    op,
    version: { ts, seq: 0, tie: '' },
    ingestedAt: context.ingestedAt,
  };
  if (op === 'DELETE') return { ...identity, image: {}, present: [] };
  const { emailRaw, present } = withEmail(row, context);
  return compact({
    ...identity,
    email: canonicalEmail(emailRaw),
    emailRaw,
    image: row.image,
    present,
    updatedAt: row.updatedAt === undefined ? undefined : heldBack(row.updatedAt, context),
    before: beforeOf(event),
  });
}

function eventIdOf(event: object): string | undefined {
  const eventId = ownValue(event, 'eventId');
  if (typeof eventId !== 'string' || eventId === '' || eventId.length > 200) return undefined;
  return isStorableText(eventId) ? eventId : undefined;
}

function beforeOf(event: object): { readonly email: string } | undefined {
  const before = ownObject(event, 'before');
  const raw = before === undefined ? undefined : ownValue(before, 'email');
  const email = typeof raw === 'string' ? canonicalEmail(raw) : undefined;
  return email === undefined ? undefined : { email };
}

/** Decodes a poller's event. A failed poll sends none, so nothing here can turn an outage into a deletion. */
export function decodeJsonEvent(event: object, context: ChangeContext): DecodeResult {
  const op = operationOf(event);
  if (op === undefined) return reject('invalid_operation', 'operation is none of CREATE, UPDATE, DELETE, SNAPSHOT');
  const source = ownValue(event, 'source');
  if (source !== undefined && source !== context.source)
    return reject('wrong_source', 'the event names another system than its topic');
  const row = eventRow(event, context, op);
  if (isRejection(row)) return row;
  if (op !== 'DELETE' && row.present.length === 0)
    return reject('unknown_shape', 'the payload has no field of a customer');
  const micros = eventMicros(event, row, op);
  if (isRejection(micros)) return micros;
  const change = eventChange(event, row, context, { op, micros });
  return isRejection(change) ? change : { kind: 'ok', changes: [change], isClockSkewed: micros > context.latest };
}
