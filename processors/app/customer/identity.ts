/** Keeps the latest of each source record and says what that means for the e-mail it belongs to. Pure: functions of (record, change). */
import {
  changeRef,
  type CustomerChange,
  type CustomerTombstone,
  type SourceChange,
} from '../../../schemas/app/customer/change.ts';
import type { Contribution, ContributionChange, RetractCause } from '../../../schemas/app/customer/contribution.ts';
import { customerFields, type CustomerField, type Image } from '../../../schemas/app/customer/fields.ts';
import { compact } from '../../../schemas/app/reader.ts';
import type { FieldClocks, SourceRecord } from '../../../schemas/app/customer/source-record.ts';
import { compareVersions, type FieldClock, type Version } from '../../../schemas/app/customer/version.ts';

/** Every change is exactly one of these; only `applied` has an effect. */
export type IdentityOutcome = 'applied' | 'duplicate' | 'stale';

/** What happened to the source record, whatever operation its source called it. */
export type IdentityEffect = 'created' | 'updated' | 'deleted' | 'recreated';

export interface IdentityResult {
  readonly outcome: IdentityOutcome;
  /** Present iff applied. */
  readonly effect?: IdentityEffect;
  /** Applied though the version is that of the change before it, which said something else. */
  readonly isCollision: boolean;
  /** Applied, and the record has no usable e-mail: it is kept but not merged. */
  readonly isUnkeyed: boolean;
  /** The record from now on; the very object passed in if nothing changed. */
  readonly record: SourceRecord | undefined;
  /** To be sent on in this order: what is taken back from one e-mail before what is given to another. */
  readonly contributions: readonly ContributionChange[];
}

function dropped(outcome: 'duplicate' | 'stale', record: SourceRecord | undefined): IdentityResult {
  return { outcome, isCollision: false, isUnkeyed: false, record, contributions: [] };
}

/** Applies one change to its source record, `undefined` if the record is new. Records of other references must not be passed. */
export function applyChange(record: SourceRecord | undefined, change: SourceChange): IdentityResult {
  if (change.op === 'TOMBSTONE') return applyTombstone(record, change);
  const next = change.op === 'DELETE' ? deletedRecord(record, change) : updatedRecord(record, change);
  if (record === undefined) return applied(record, next);
  const order = compareVersions(change.version, record.version);
  if (order < 0) return dropped('stale', withTombstoneDue(record, change));
  if (saysTheSame(record, next) && (order === 0 || change.eventId === record.eventId))
    return dropped('duplicate', withTombstoneDue(record, change));
  return { ...applied(record, next), isCollision: order === 0 };
}

function applied(record: SourceRecord | undefined, next: SourceRecord): IdentityResult {
  return {
    outcome: 'applied',
    effect: effectOf(record, next),
    isCollision: false,
    isUnkeyed: !next.deleted && next.email === undefined,
    record: next,
    contributions: contributionChanges(record, next),
  };
}

/** A deletion that comes too late still announces its tombstone, which must then not delete what was created since. */
function withTombstoneDue(record: SourceRecord, change: CustomerChange): SourceRecord {
  return change.tombstoneFollows === true && !record.deleted ? { ...record, tombstoneDue: true } : record;
}

/** A tombstone whose deletion was seen means nothing; one that stands alone deletes at the version just after the record's. */
function applyTombstone(record: SourceRecord | undefined, { ingestedAt }: CustomerTombstone): IdentityResult {
  if (record === undefined || record.deleted) return dropped('duplicate', record);
  if (record.tombstoneDue === true) {
    const { tombstoneDue: _, ...rest } = record;
    return dropped('duplicate', rest);
  }
  const version: Version = { ...record.version, tie: `${record.version.tie}~` };
  const deletedAt = Math.max(ingestedAt, version.ts);
  const { ref, source, eventId } = record;
  return applied(record, grave(record, { ref, source, version, deletedAt, eventId }));
}

function grave(
  record: SourceRecord | undefined,
  end: Pick<SourceRecord, 'ref' | 'source' | 'version' | 'eventId'> & { readonly deletedAt: number },
): SourceRecord {
  return {
    ...end,
    image: {},
    clocks: {},
    deleted: true,
    ...historyOf(record, end.version),
  };
}

function historyOf(
  record: SourceRecord | undefined,
  version: Version,
): Pick<SourceRecord, 'acceptedCount' | 'firstSeen'> {
  return { acceptedCount: (record?.acceptedCount ?? 0) + 1, firstSeen: record?.firstSeen ?? version.ts };
}

function deletedRecord(record: SourceRecord | undefined, change: CustomerChange): SourceRecord {
  const { source, version, eventId } = change;
  return grave(record, { ref: changeRef(change), source, version, deletedAt: version.ts, eventId });
}

function updatedRecord(record: SourceRecord | undefined, change: CustomerChange): SourceRecord {
  // A deleted record has neither image nor clocks nor address, so what it said before counts no more.
  const image = nextImage(record?.image ?? {}, change);
  const address = change.present.includes('email') ? change : record;
  return compact({
    ref: changeRef(change),
    source: change.source,
    email: address?.email,
    emailRaw: address?.emailRaw,
    version: change.version,
    image,
    clocks: nextClocks(record, image, change),
    deleted: false,
    ...historyOf(record, change.version),
    updatedAt: change.updatedAt ?? record?.updatedAt,
    eventId: change.eventId,
  });
}

function nextImage(before: Image, change: CustomerChange): Image {
  const image: { [F in CustomerField]?: string | null } = { ...before };
  for (const field of customerFields) {
    const value = change.image[field];
    if (value !== undefined && change.present.includes(field)) image[field] = value;
  }
  return image;
}

function nextClocks(record: SourceRecord | undefined, image: Image, change: CustomerChange): FieldClocks {
  const clocks: { [F in CustomerField]?: FieldClock } = {};
  for (const field of customerFields) {
    const before = record?.image[field];
    const clock = image[field] === before ? record?.clocks[field] : newClock(image[field], before, change);
    if (clock !== undefined) clocks[field] = clock;
  }
  return clocks;
}

/**
 * When a field got its value: now, if we saw what it was before or saw the record's birth. Else all we know is that it happened no later
 * than the record's last update. Emptiness that was always there has no time.
 */
function newClock(
  value: string | null | undefined,
  before: string | null | undefined,
  change: CustomerChange,
): FieldClock | undefined {
  if (value === null && before === undefined) return undefined;
  const { ts, seq } = change.version;
  const isWitnessed = change.op !== 'SNAPSHOT' && (before !== undefined || change.op === 'CREATE');
  return isWitnessed ? { ts, seq } : { ts: change.updatedAt ?? ts, seq, record: true };
}

function saysTheSame(left: SourceRecord, right: SourceRecord): boolean {
  return (
    left.deleted === right.deleted &&
    left.email === right.email &&
    left.emailRaw === right.emailRaw &&
    customerFields.every((field) => left.image[field] === right.image[field])
  );
}

function effectOf(record: SourceRecord | undefined, next: SourceRecord): IdentityEffect {
  if (next.deleted) return 'deleted';
  if (record === undefined) return 'created';
  return record.deleted ? 'recreated' : 'updated';
}

function contributionChanges(before: SourceRecord | undefined, after: SourceRecord): readonly ContributionChange[] {
  const changes: ContributionChange[] = [];
  if (before?.email !== undefined && before.email !== after.email) changes.push(retraction(before.email, after));
  if (after.email !== undefined) changes.push({ kind: 'put', email: after.email, contribution: contributionOf(after) });
  return changes;
}

function contributionOf(record: SourceRecord): Contribution {
  const { ref, source, version, image, clocks, firstSeen, acceptedCount, updatedAt, emailRaw } = record;
  return compact({ ref, source, version, image, clocks, firstSeen, acceptedCount, updatedAt, emailRaw });
}

function retraction(email: string, after: SourceRecord): ContributionChange {
  const { ref, source, version, acceptedCount, firstSeen } = after;
  const cause: RetractCause = after.deleted ? 'deleted' : after.email === undefined ? 'unkeyed' : 'moved';
  const at = after.deletedAt ?? version.ts;
  return { kind: 'retract', email, retraction: { ref, source, version, acceptedCount, firstSeen, at, cause } };
}

/** Whether a deleted record has blocked late changes for longer than `ttlMicros` and may be forgotten. */
export function isExpiredGrave(record: SourceRecord, nowMicros: number, ttlMicros: number): boolean {
  return record.deletedAt !== undefined && record.deletedAt + ttlMicros <= nowMicros;
}
