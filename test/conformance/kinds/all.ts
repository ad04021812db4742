import type { Kinds } from './kinds.ts';
import { pending } from './kinds.ts';
import { cogroups } from './cogroup.ts';
import { foreignKeys } from './foreign-keys.ts';
import { joins } from './joins.ts';
import { streams } from './streams.ts';
import { suppressions } from './suppress.ts';
import { tables } from './tables.ts';
import { windows } from './windows.ts';

/** Kinds whose operators are not there yet. */
const waiting: readonly (readonly [what: string, kinds: readonly string[]])[] = [
  ['stream-table joins with grace', ['stream-table-inner-grace', 'stream-table-left-grace']],
];

export const kinds: Kinds = {
  ...Object.fromEntries(waiting.flatMap(([what, names]) => names.map((name) => [name, pending(what)] as const))),
  ...joins,
  ...foreignKeys,
  ...streams,
  ...tables,
  ...windows,
  ...suppressions,
  ...cogroups,
};
