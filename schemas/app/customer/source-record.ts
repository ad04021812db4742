import { canonicalJsonSerde, type Serde } from '../../../index.ts';
import { parseImage } from './change.ts';
import { contributedFields, sourceSystems, type CustomerField, type Image, type SourceSystem } from './fields.ts';
import { compact, readObject, readRef } from '../reader.ts';
import { parseClock, parseVersion, type FieldClock, type Version } from './version.ts';

/** When each field last changed; a field that never had a value has no clock. */
export type FieldClocks = { readonly [F in CustomerField]?: FieldClock };

/** The latest that is known of one source record: the state of `identity` and the value of `customer.sources`. Instants are microseconds. */
export interface SourceRecord {
  readonly ref: string;
  readonly source: SourceSystem;
  /** Canonical; absent while the record has no usable address, or is deleted. */
  readonly email?: string;
  readonly emailRaw?: string;
  readonly version: Version;
  /** Empty when deleted. */
  readonly image: Image;
  readonly clocks: FieldClocks;
  readonly deleted: boolean;
  readonly deletedAt?: number;
  /** Changes accepted so far; counts on through deletion and re-creation. */
  readonly acceptedCount: number;
  /** Instant of the first accepted change. */
  readonly firstSeen: number;
  readonly updatedAt?: number;
  /** Of the last accepted change. */
  readonly eventId: string;
  /** The next tombstone belongs to a DELETE already seen. */
  readonly tombstoneDue?: true;
}

/** Clocks of the fields `source` may contribute; throws `DESERIALIZATION_FAILED`. */
export function parseClocks(value: unknown, source: SourceSystem, where: string): FieldClocks {
  const reader = readObject(value, where);
  const clocks: { [F in CustomerField]?: FieldClock } = {};
  for (const field of contributedFields[source]) {
    const clock = reader.optionalWith(field, parseClock);
    if (clock !== undefined) clocks[field] = clock;
  }
  return clocks;
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseSourceRecord(value: unknown): SourceRecord {
  const reader = readObject(value, 'source record');
  const source = reader.oneOf('source', sourceSystems);
  return compact({
    ref: reader.with('ref', readRef),
    source,
    email: reader.optionalText('email', 254),
    emailRaw: reader.optionalText('emailRaw'),
    version: reader.with('version', parseVersion),
    image: reader.with('image', (image, where) => parseImage(image, source, where)),
    clocks: reader.with('clocks', (clocks, where) => parseClocks(clocks, source, where)),
    deleted: reader.flag('deleted'),
    deletedAt: reader.optionalCount('deletedAt'),
    acceptedCount: reader.count('acceptedCount'),
    firstSeen: reader.count('firstSeen'),
    updatedAt: reader.optionalCount('updatedAt'),
    eventId: reader.text('eventId', 1000),
    tombstoneDue: reader.flag('tombstoneDue') ? (true as const) : undefined,
  });
}

export const sourceRecordSerde: Serde<SourceRecord> = canonicalJsonSerde(parseSourceRecord);
