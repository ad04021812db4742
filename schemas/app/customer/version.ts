import { compareText } from './fields.ts';
import { compact, readObject } from '../reader.ts';

/**
 * When a source made a change, in the source's own order: instant in microseconds, then `seq` (a log sequence number, 0 where the source
 * has none), then `tie`.
 */
export interface Version {
  readonly ts: number;
  readonly seq: number;
  readonly tie: string;
}

/** When a field last changed in one source. `record`: only known to be no later than the record's own time. */
export interface FieldClock {
  readonly ts: number;
  readonly seq: number;
  readonly record?: true;
}

export function compareVersions(left: Version, right: Version): number {
  return left.ts - right.ts || left.seq - right.seq || compareText(left.tie, right.tie);
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseVersion(value: unknown, where = 'version'): Version {
  const reader = readObject(value, where);
  return { ts: reader.count('ts'), seq: reader.optionalCount('seq') ?? 0, tie: reader.optionalText('tie', 100) ?? '' };
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseClock(value: unknown, where: string): FieldClock {
  const reader = readObject(value, where);
  return compact({
    ts: reader.count('ts'),
    seq: reader.optionalCount('seq') ?? 0,
    record: reader.flag('record') ? (true as const) : undefined,
  });
}
