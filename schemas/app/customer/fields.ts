/** The two systems a customer is known in. */
export const sourceSystems = ['system_a', 'system_b'] as const;
export type SourceSystem = (typeof sourceSystems)[number];

/** The fields that are merged; e-mail is the key, ids are identities. */
export const customerFields = ['name', 'address', 'phone', 'contractStart', 'contractType'] as const;
export type CustomerField = (typeof customerFields)[number];

/** Which fields a system may contribute; what else its records hold is ignored. */
export const contributedFields: Readonly<Record<SourceSystem, readonly CustomerField[]>> = {
  system_a: ['name', 'address', 'contractStart', 'contractType'],
  system_b: ['name', 'address', 'phone'],
};

/** What a source says of a customer: `null` is an explicit empty value, an absent field was never told. `contractStart` is `YYYY-MM-DD`. */
export type Image = { readonly [F in CustomerField]?: string | null };

/** Longest text taken from a source, in UTF-16 code units; and the longest record id. */
export const textLengthMax = 10_000;
export const idLengthMax = 200;

const refPrefix: Readonly<Record<SourceSystem, string>> = { system_a: 'a:', system_b: 'b:' };

/** The key of one source record: `a:<id>` or `b:<uuid>`. References order by source, then id, as unsigned UTF-16 code units. */
export function sourceRef(source: SourceSystem, sourceId: string): string {
  return `${refPrefix[source]}${sourceId}`;
}

/** The system a reference points into, and the id there; `undefined` unless it is a reference. */
export function parseSourceRef(ref: string): { readonly source: SourceSystem; readonly sourceId: string } | undefined {
  const source = sourceSystems.find((system) => ref.startsWith(refPrefix[system]));
  const sourceId = ref.slice(2);
  return source === undefined || sourceId === '' ? undefined : { source, sourceId };
}

/** Orders strings by UTF-16 code units, whatever the locale. */
export function compareText(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
