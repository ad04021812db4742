import { StreamError, canonicalJsonSerde, type Serde } from '../../../index.ts';
import {
  contributedFields,
  customerFields,
  idLengthMax,
  sourceRef,
  sourceSystems,
  type CustomerField,
  type Image,
  type SourceSystem,
} from './fields.ts';
import { compact, readObject, readOneOf, readText } from '../reader.ts';
import { parseVersion, type Version } from './version.ts';

export const changeOps = ['SNAPSHOT', 'CREATE', 'UPDATE', 'DELETE'] as const;
export type ChangeOp = (typeof changeOps)[number];

/** What an image can carry. */
export type PresentField = CustomerField | 'email';

/** One change of one source record, whatever form it arrived in. Instants are microseconds. */
export interface CustomerChange {
  /** The same for every delivery of the same change, if the source is honest; never the only ground to drop one. */
  readonly eventId: string;
  readonly source: SourceSystem;
  readonly sourceId: string;
  readonly op: ChangeOp;
  readonly version: Version;
  /** Canonical; absent if the source has none or it is no e-mail address. */
  readonly email?: string;
  /** As the source writes it. */
  readonly emailRaw?: string;
  /** Empty for DELETE. */
  readonly image: Image;
  /** The fields the image really carries; the others keep what was told before. */
  readonly present: readonly PresentField[];
  /** When the source says the record was last updated. */
  readonly updatedAt?: number;
  readonly before?: { readonly email: string };
  /** Set where the source writes a tombstone after this DELETE, which then means nothing new. */
  readonly tombstoneFollows?: true;
  /** The record's own timestamp in the log. */
  readonly ingestedAt: number;
}

/** A record without value: the source record is gone, if nothing has said so before. */
export interface CustomerTombstone {
  readonly op: 'TOMBSTONE';
  readonly source: SourceSystem;
  readonly sourceId: string;
  readonly ingestedAt: number;
}

export type SourceChange = CustomerChange | CustomerTombstone;

/** The key under which all changes of one source record are ordered. */
export function changeRef(change: SourceChange): string {
  return sourceRef(change.source, change.sourceId);
}

/** An image of the fields `source` may contribute; throws `DESERIALIZATION_FAILED` on anything but text and `null`. */
export function parseImage(value: unknown, source: SourceSystem, where: string): Image {
  const reader = readObject(value, where);
  const image: { [F in CustomerField]?: string | null } = {};
  for (const field of contributedFields[source]) {
    const found = reader.raw(field);
    if (found !== undefined) image[field] = found === null ? null : readText(found, `${where}.${field}`);
  }
  return image;
}

function readId(value: unknown, where: string): string {
  const id = readText(value, where, idLengthMax);
  if (id.trim() === '') throw new StreamError('DESERIALIZATION_FAILED', `${where}: blank`);
  return id;
}

const presentFields: readonly PresentField[] = [...customerFields, 'email'];

/** Throws `DESERIALIZATION_FAILED`. */
export function parseSourceChange(value: unknown): SourceChange {
  const reader = readObject(value, 'change');
  const source = reader.oneOf('source', sourceSystems);
  const sourceId = reader.with('sourceId', readId);
  const ingestedAt = reader.count('ingestedAt');
  const op = reader.oneOf('op', [...changeOps, 'TOMBSTONE']);
  if (op === 'TOMBSTONE') return { op, source, sourceId, ingestedAt };
  return compact({
    eventId: reader.text('eventId', 1000),
    source,
    sourceId,
    op,
    version: reader.with('version', parseVersion),
    email: reader.optionalText('email', 254),
    emailRaw: reader.optionalText('emailRaw'),
    image: reader.with('image', (image, where) => parseImage(image, source, where)),
    present: reader.list('present', (name, where) => readOneOf(name, where, presentFields)),
    updatedAt: reader.optionalCount('updatedAt'),
    before: reader.optionalWith('before', parseBefore),
    tombstoneFollows: reader.flag('tombstoneFollows') ? (true as const) : undefined,
    ingestedAt,
  });
}

function parseBefore(value: unknown, where: string): { readonly email: string } {
  return { email: readObject(value, where).text('email') };
}

export const sourceChangeSerde: Serde<SourceChange> = canonicalJsonSerde(parseSourceChange);
