/** Rare paths that a campaign must reach, each by the mark that whoever takes it leaves. */
import { faultKinds } from './plan.ts';

export const allMarks: readonly string[] = [
  ...faultKinds.map((kind) => `fault: ${kind}`),
  'network: request lost',
  'network: response lost',
  'network: late',
  'network: slow',
  'network: refused',
  'engine: membership-lost',
  'engine: offsets-unstable',
  'engine: changelog-unstable',
  'engine: store-rebuilt',
  'engine: store-out-of-range',
  'engine: restore-cancelled',
  'engine: recovering: COMMIT_INDEFINITE',
  'engine: recovering: LOG_UNAVAILABLE',
  'engine: recovering: MEMBER_FENCED',
  'engine: recovering: PRODUCER_FENCED',
  'engine: recovering: STORE_CORRUPT',
  'engine: recovering: STORE_IO',
];
