/** Values of stores as JSON text: whatever a serde yields, nothing lost in silence. */

/**
 * The JSON text of a value. Big integers and numbers that JSON has not (NaN, infinities) become strings, bytes base64,
 * maps and sets lists. Property names are data: `__proto__` is written like any other.
 */
export function renderJson(value: object): string {
  return JSON.stringify(value, replace);
}

function replace(this: unknown, name: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value !== 'object' || value === null) return value;
  // Buffers (and others with toJSON) arrive here converted already; the holder still has the original.
  const original = (this as Readonly<Record<string, unknown>>)[name];
  if (original instanceof Uint8Array) return base64(original);
  if (value instanceof Map || value instanceof Set) return [...value];
  return value;
}

export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
