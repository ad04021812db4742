import type { Kinds } from './kinds.ts';
import { chains } from './chain.ts';
import { cogroups } from './cogroup.ts';
import { foreignKeys } from './foreign-keys.ts';
import { joins } from './joins.ts';
import { streams } from './streams.ts';
import { suppressions } from './suppress.ts';
import { tables } from './tables.ts';
import { windows } from './windows.ts';

export const kinds: Kinds = {
  ...joins,
  ...foreignKeys,
  ...streams,
  ...tables,
  ...windows,
  ...suppressions,
  ...cogroups,
  ...chains,
};
