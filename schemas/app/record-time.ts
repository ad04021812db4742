/** Which times of records are believed. */
import { timestampUpTo } from '../../index.ts';

/** 2200-01-01. A record that claims to be later is refused: one broken clock must not rule every comparison, nor count microseconds that no number holds. */
export const believedTimestamp = timestampUpTo(7_258_118_400_000);
