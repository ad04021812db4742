/** How each kind of case becomes a topology. */
import type { Kit } from '../kit.ts';

export type Kinds = Readonly<Record<string, (kit: Kit) => void>>;

/** Thrown for a kind of case that is not known: it is skipped, and that is told. */
export class Pending extends Error {}
