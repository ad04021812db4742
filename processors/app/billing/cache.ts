/** Which rows of billing's stores are kept in memory as values. */

/** Rows that are read and changed again and again. Their serdes give back exactly what they were given. */
export const keptRows = { keepsPutValues: true } as const;

/** Rows that are hardly ever asked for again: to keep them in memory costs more than to read one. */
export const rarelyRead = { entriesMax: 0 } as const;
