/**
 * Instants are whole microseconds since 1970-01-01T00:00:00Z, safe integers (up to the year 2255). Dates are `YYYY-MM-DD`.
 * Everything here is arithmetic: no time zone, no clock.
 */

const microsPerSecond = 1_000_000;
const microsPerDay = 86_400 * microsPerSecond;

/** Largest date that has four digits, in days since 1970. */
const epochDayMax = 2_932_896;

const timestampForm =
  /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?)? ?(Z|[+-]\d{2}(?::?\d{2})?)?$/;

interface CivilDate {
  readonly year: number;
  readonly month: number;
  readonly day: number;
}

/** Days since 1970 of a proleptic Gregorian date; years are counted from March so that the leap day comes last. */
function daysFromCivil({ year, month, day }: CivilDate): number {
  const shifted = month <= 2 ? year - 1 : year;
  const era = Math.floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

function civilFromDays(days: number): CivilDate {
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const leapDays = Math.floor(dayOfEra / 1460) - Math.floor(dayOfEra / 36_524) + Math.floor(dayOfEra / 146_096);
  const yearOfEra = Math.floor((dayOfEra - leapDays) / 365);
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const month = monthFromMarch + (monthFromMarch < 10 ? 3 : -9);
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1,
  };
}

const padded = (value: number, digits: number): string => String(value).padStart(digits, '0');

function dateFromDays(days: number): string {
  const { year, month, day } = civilFromDays(days);
  return `${padded(year, 4)}-${padded(month, 2)}-${padded(day, 2)}`;
}

function zoneMinutes(zone: string | undefined): number | undefined {
  if (zone === undefined || zone === 'Z') return 0;
  const hours = Number(zone.slice(1, 3));
  const minutes = zone.length > 3 ? Number(zone.slice(-2)) : 0;
  if (hours > 18 || minutes > 59) return undefined;
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes);
}

function validDays(date: CivilDate): number | undefined {
  const days = daysFromCivil(date);
  const back = civilFromDays(days);
  return date.month >= 1 && date.month <= 12 && back.month === date.month && back.day === date.day ? days : undefined;
}

function microsFromText(text: string): number | undefined {
  const match = text.length > 40 ? null : timestampForm.exec(text.trim());
  if (match === null) return undefined;
  const days = validDays({ year: Number(match[1]), month: Number(match[2]), day: Number(match[3]) });
  const seconds = secondsOfDay(match[4], match[5], match[6]);
  const offset = zoneMinutes(match[8]);
  if (days === undefined || seconds === undefined || offset === undefined) return undefined;
  const fraction = Number((match[7] ?? '').padEnd(6, '0').slice(0, 6));
  const micros = (days * 86_400 + seconds - offset * 60) * microsPerSecond + fraction;
  return Number.isSafeInteger(micros) ? micros : undefined;
}

function secondsOfDay(hour = '0', minute = '0', second = '0'): number | undefined {
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined;
  return Number(hour) * 3600 + Number(minute) * 60 + Number(second);
}

/** The unit is told by the size: milliseconds until 1e14 (the year 5138), then microseconds, then nanoseconds. */
function microsFromNumber(value: number): number | undefined {
  if (!Number.isInteger(value)) return undefined;
  const size = Math.abs(value);
  if (size < 1e14) return value * 1000;
  if (size < 1e17) return Number.isSafeInteger(value) ? value : undefined;
  // Beyond 2^53 JSON has already rounded the nanoseconds; the microseconds are still right to within one.
  const micros = Math.floor(value / 1000);
  return Number.isSafeInteger(micros) ? micros : undefined;
}

/**
 * Microseconds from what sources write: ISO 8601 text (a `T` or a blank, no zone = UTC, up to nanoseconds), or a number of
 * milliseconds, microseconds or nanoseconds. `undefined` if it is none of these.
 */
export function microsFrom(value: unknown): number | undefined {
  if (typeof value === 'string') return microsFromText(value);
  if (typeof value === 'bigint') return microsFromNumber(Number(value));
  return typeof value === 'number' ? microsFromNumber(value) : undefined;
}

/** ISO 8601 in UTC with six decimals. */
export function isoFromMicros(micros: number): string {
  const days = Math.floor(micros / microsPerDay);
  const rest = micros - days * microsPerDay;
  const seconds = Math.floor(rest / microsPerSecond);
  const time = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60].map((part) => padded(part, 2));
  return `${dateFromDays(days)}T${time.join(':')}.${padded(rest % microsPerSecond, 6)}Z`;
}

/**
 * A date from what sources write: `YYYY-MM-DD` (a zone or a time of day is cut off, not converted), days since 1970, or a timestamp number.
 * `undefined` if it is none of these or outside the years 0 to 9999.
 */
export function dateFrom(value: unknown): string | undefined {
  if (typeof value === 'string') {
    const text = value.trim();
    return microsFromText(text) === undefined && !isPlainDate(text) ? undefined : text.slice(0, 10);
  }
  const number = typeof value === 'bigint' ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isInteger(number)) return undefined;
  if (Math.abs(number) <= epochDayMax) return number >= -719_528 ? dateFromDays(number) : undefined;
  const micros = microsFromNumber(number);
  return micros === undefined ? undefined : dateFrom(Math.floor(micros / microsPerDay));
}

/** Dates beyond the range of instants are still dates. */
function isPlainDate(text: string): boolean {
  const match = /^(\d{4})-(\d{2})-(\d{2})Z?$/.exec(text);
  if (match === null) return false;
  return validDays({ year: Number(match[1]), month: Number(match[2]), day: Number(match[3]) }) !== undefined;
}

/** Microseconds of a record's own timestamp in milliseconds; 0 for a negative one, never beyond the safe range. */
export function microsFromRecordTime(timestampMs: number): number {
  return Math.min(Math.max(0, Math.floor(timestampMs)) * 1000, Number.MAX_SAFE_INTEGER);
}
