import { canonicalJsonSerde, type Serde } from '../../../index.ts';
import { sourceSystems, type CustomerField, type SourceSystem } from './fields.ts';
import { compact, readObject, readOneOf } from '../reader.ts';

/**
 * One way to narrow down rival values. `pinned` stands for the steward's pins, which always come first. `valid` prefers well-formed values,
 * `priority` the system named first, `trust` the highest trust, `recency` the latest field clock, `completeness` the longest text, `frequency`
 * the value most sources agree on. `aggregate` ends the list: it joins all distinct values.
 */
export const strategySteps = [
  'pinned',
  'valid',
  'priority',
  'trust',
  'recency',
  'completeness',
  'frequency',
  'aggregate',
] as const;
export type StrategyStep = (typeof strategySteps)[number];

export const equivalences = ['exact', 'name', 'digits', 'whitespace'] as const;
/** How values are compared for a conflict: as they are, case and blanks folded, digits only, or blanks folded. */
export type Equivalence = (typeof equivalences)[number];

/** How one field survives. What the strategy leaves undecided is decided by the order of references, so a choice is always the same. */
export interface FieldPolicy {
  readonly strategy: readonly StrategyStep[];
  readonly priority: readonly SourceSystem[];
  /** `clear`: a value that was explicitly removed takes part and may win; `ignore`: it never does. */
  readonly nullPolicy: 'ignore' | 'clear';
  readonly equivalence: Equivalence;
  /** Points per system for `trust`; 0 for a system not named. */
  readonly trust?: { readonly [S in SourceSystem]?: number };
  /** Points lost per whole day that a value is older than its newest rival. */
  readonly trustDecayPerDay?: number;
}

export type CustomerPolicy = Readonly<Record<CustomerField, FieldPolicy>>;

const sharedText = {
  strategy: ['recency', 'priority'],
  priority: ['system_a', 'system_b'],
  nullPolicy: 'ignore',
} as const;
const singleSource = { strategy: ['recency'], priority: [], nullPolicy: 'clear' } as const;

export const defaultPolicy: CustomerPolicy = Object.freeze({
  name: { ...sharedText, equivalence: 'name' },
  address: { ...sharedText, equivalence: 'whitespace' },
  phone: { ...singleSource, equivalence: 'digits' },
  contractStart: { ...singleSource, equivalence: 'exact' },
  contractType: { ...singleSource, equivalence: 'exact' },
});

/** The policy with one field's row replaced; `null` brings the default back. */
export function withFieldPolicy(
  policy: CustomerPolicy,
  field: CustomerField,
  fieldPolicy: FieldPolicy | null,
): CustomerPolicy {
  return Object.freeze({ ...policy, [field]: fieldPolicy ?? defaultPolicy[field] });
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseFieldPolicy(value: unknown): FieldPolicy {
  const reader = readObject(value, 'policy');
  return compact({
    strategy: reader.list('strategy', (step, where) => readOneOf(step, where, strategySteps)),
    priority:
      reader.raw('priority') === undefined
        ? []
        : reader.list('priority', (system, where) => readOneOf(system, where, sourceSystems)),
    nullPolicy: reader.optionalOneOf('nullPolicy', ['ignore', 'clear']) ?? 'ignore',
    equivalence: reader.optionalOneOf('equivalence', equivalences) ?? 'exact',
    trust: reader.optionalWith('trust', parseTrust),
    trustDecayPerDay: reader.optionalCount('trustDecayPerDay'),
  });
}

function parseTrust(value: unknown, where: string): { readonly [S in SourceSystem]?: number } {
  const reader = readObject(value, where);
  return compact({ system_a: reader.optionalCount('system_a'), system_b: reader.optionalCount('system_b') });
}

export const fieldPolicySerde: Serde<FieldPolicy> = canonicalJsonSerde(parseFieldPolicy);
