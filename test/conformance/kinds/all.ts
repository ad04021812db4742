import type { Kinds } from './kinds.ts';
import { pending } from './kinds.ts';
import { foreignKeys } from './foreign-keys.ts';
import { joins } from './joins.ts';
import { streams } from './streams.ts';
import { tables } from './tables.ts';

/** Kinds whose operators are not there yet. */
const waiting: readonly (readonly [what: string, kinds: readonly string[]])[] = [
  ['stream-table joins with grace', ['stream-table-inner-grace', 'stream-table-left-grace']],
  [
    'windows',
    ['tumbling', 'hopping', 'sliding', 'session'].flatMap((windows) => [
      `window-${windows}`,
      `window-${windows}-late`,
      `window-${windows}+table-table-join`,
    ]),
  ],
  ['windows', ['window-emit-final', 'window-session-store']],
  [
    'suppress',
    [
      'suppress-final-tumbling',
      'suppress-final-hopping',
      'suppress-final-sliding',
      'suppress-final-session',
      'suppress-time-limit',
      'suppress-record-limit',
      'suppress-bytes-limit',
      'suppress-before-groupBy',
      'suppress-before-join',
      'suppress-processor',
    ],
  ],
  ['changes as a table', ['ktable-reduce-processor']],
  ['cogroup', ['cogroup']],
];

export const kinds: Kinds = {
  ...Object.fromEntries(waiting.flatMap(([what, names]) => names.map((name) => [name, pending(what)] as const))),
  ...joins,
  ...foreignKeys,
  ...streams,
  ...tables,
};
