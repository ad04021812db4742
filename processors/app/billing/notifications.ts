/** What the owner of an account is told: one notification for each leg of a transaction that has ended. */
import { defineProcessor } from '../../../index.ts';
import type { NoStores, ProcessorContext, StreamRecord } from '../../../index.ts';
import { envelopeHeaders } from '../../../schemas/app/billing/envelope.ts';
import { uuid5 } from '../../../schemas/app/billing/names.ts';
import type { Notification } from '../../../schemas/app/billing/notification.ts';
import type { TransactionEvent } from '../../../schemas/app/billing/transaction.ts';
import { compact } from '../../../schemas/app/reader.ts';
import { legsOf } from './legs.ts';

function notificationsOf(event: TransactionEvent): readonly Notification[] {
  const { eventId, type, txId, idempotencyKey: trackingId, currency, reference, errorCode } = event;
  if (type.endsWith('Requested')) return [];
  const { requestedAt, effectiveAt, at } = event;
  const common = { type, txId, trackingId, currency, reference, errorCode, requestedAt, effectiveAt, at };
  return legsOf(event).map((leg) => compact({ notificationId: uuid5(eventId, leg.accountId), ...leg, ...common }));
}

/** Forwards each to its account. The same event makes the same notifications, under the same ids. */
export const notificationStep = defineProcessor({
  name: 'notifications',
  process(
    { value: event, timestampMs, headers }: StreamRecord<string | null, TransactionEvent | null>,
    { forward }: ProcessorContext<string, Notification, NoStores>,
  ) {
    for (const value of event === null ? [] : notificationsOf(event)) {
      const envelope = { eventType: value.type, eventId: value.notificationId, causationId: event?.eventId ?? '' };
      forward({ key: value.accountId, value, timestampMs, headers: envelopeHeaders(headers, envelope) });
    }
  },
});
