import { canonicalJsonSerde, type Serde } from '../../../index.ts';
import { parseImage } from './change.ts';
import { sourceSystems, type Image, type SourceSystem } from './fields.ts';
import { compact, readObject, readRef } from '../reader.ts';
import { parseClocks, type FieldClocks } from './source-record.ts';
import { parseVersion, type Version } from './version.ts';

/** What one living source record says of the customer with its e-mail. Instants are microseconds. */
export interface Contribution {
  readonly ref: string;
  readonly source: SourceSystem;
  readonly version: Version;
  readonly image: Image;
  readonly clocks: FieldClocks;
  readonly firstSeen: number;
  readonly acceptedCount: number;
  readonly updatedAt?: number;
  readonly emailRaw?: string;
}

export const retractCauses = ['deleted', 'moved', 'unkeyed'] as const;
/** Why a contribution went: its record was deleted, has another e-mail now, or has no usable one. */
export type RetractCause = (typeof retractCauses)[number];

/** That a source record no longer contributes to an e-mail. */
export interface Retraction {
  readonly ref: string;
  readonly source: SourceSystem;
  readonly version: Version;
  readonly acceptedCount: number;
  readonly firstSeen: number;
  readonly at: number;
  readonly cause: RetractCause;
}

/** What `identity` sends to `merge`, keyed by `email`. */
export type ContributionChange =
  | { readonly kind: 'put'; readonly email: string; readonly contribution: Contribution }
  | { readonly kind: 'retract'; readonly email: string; readonly retraction: Retraction };

/** Throws `DESERIALIZATION_FAILED`. */
export function parseContribution(value: unknown, where = 'contribution'): Contribution {
  const reader = readObject(value, where);
  const source = reader.oneOf('source', sourceSystems);
  return compact({
    ref: reader.with('ref', readRef),
    source,
    version: reader.with('version', parseVersion),
    image: reader.with('image', (image, place) => parseImage(image, source, place)),
    clocks: reader.with('clocks', (clocks, place) => parseClocks(clocks, source, place)),
    firstSeen: reader.count('firstSeen'),
    acceptedCount: reader.count('acceptedCount'),
    updatedAt: reader.optionalCount('updatedAt'),
    emailRaw: reader.optionalText('emailRaw'),
  });
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseRetraction(value: unknown, where = 'retraction'): Retraction {
  const reader = readObject(value, where);
  return {
    ref: reader.with('ref', readRef),
    source: reader.oneOf('source', sourceSystems),
    version: reader.with('version', parseVersion),
    acceptedCount: reader.count('acceptedCount'),
    firstSeen: reader.count('firstSeen'),
    at: reader.count('at'),
    cause: reader.oneOf('cause', retractCauses),
  };
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseContributionChange(value: unknown): ContributionChange {
  const reader = readObject(value, 'contribution change');
  const kind = reader.oneOf('kind', ['put', 'retract']);
  const email = reader.text('email', 254);
  return kind === 'put'
    ? { kind, email, contribution: reader.with('contribution', parseContribution) }
    : { kind, email, retraction: reader.with('retraction', parseRetraction) };
}

export const contributionChangeSerde: Serde<ContributionChange> = canonicalJsonSerde(parseContributionChange);
