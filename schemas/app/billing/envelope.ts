import type { Header } from '../../../index.ts';

/** What every billing record says of itself in its headers. */
export interface Envelope {
  readonly eventType: string;
  readonly eventId: string;
  /** The event, command or request that this follows from. */
  readonly causationId: string;
}

const ownNames = new Set(['eventType', 'eventVersion', 'eventId', 'causationId']);

/** Never written to. */
const version: Header = { key: 'eventVersion', value: Buffer.from('1') };

/** The headers of a record that follows from one with the headers `inherited`: `correlationId`, `actorId` and what else there is are passed on. */
export function envelopeHeaders(inherited: readonly Header[], envelope: Envelope): readonly Header[] {
  const { eventType, eventId, causationId } = envelope;
  return [
    ...inherited.filter(({ key }) => !ownNames.has(key)),
    { key: 'eventType', value: Buffer.from(eventType) },
    { key: 'eventId', value: Buffer.from(eventId) },
    { key: 'causationId', value: Buffer.from(causationId) },
    version,
  ];
}
