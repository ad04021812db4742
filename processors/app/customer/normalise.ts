/** RFC 5321 allows 254 octets; we count UTF-16 code units. */
const emailLengthMax = 254;

/** One @ between two non-empty parts free of white space, control, format and surrogate characters. Two plain classes: linear time. */
const emailForm = /^[^\s@\p{Cc}\p{Cf}\p{Cs}]+@[^\s@\p{Cc}\p{Cf}\p{Cs}]+$/u;

/**
 * The address as a key: trimmed, lower-case, Unicode NFC. `undefined` if there is none or it has not the form of one; the customer is then
 * unkeyed. Applying it twice changes nothing.
 */
export function canonicalEmail(raw: string | null | undefined): string | undefined {
  if (raw === null || raw === undefined || raw.length > emailLengthMax * 2) return undefined;
  // Lower-casing can leave a sequence that is not composed, hence NFC on both sides.
  const email = raw.trim().normalize('NFC').toLowerCase().normalize('NFC');
  return email.length <= emailLengthMax && emailForm.test(email) ? email : undefined;
}
