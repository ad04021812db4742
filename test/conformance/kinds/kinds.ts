/** How each kind of case becomes a topology. */
import type { Kit } from '../kit.ts';

export type Kinds = Readonly<Record<string, (kit: Kit) => void>>;

/** Thrown for what the engine cannot do yet: the case is skipped. */
export class Pending extends Error {}

export function pending(what: string): () => never {
  return () => {
    throw new Pending(what);
  };
}
