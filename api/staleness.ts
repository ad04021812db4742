/** How far behind an answer is that a copy gave. */
export interface Staleness {
  /** Changelog records the copy had not read yet; `undefined`: it could not tell. */
  readonly lag: number | undefined;
}

/** Of an answer put together from several: stale if one is, behind by what all are together. */
export function mergeStaleness(parts: readonly (Staleness | undefined)[]): Staleness | undefined {
  const stale = parts.filter((part) => part !== undefined);
  if (stale.length === 0) return undefined;
  const lags = stale.map(({ lag }) => lag).filter((lag) => lag !== undefined);
  return { lag: lags.length < stale.length ? undefined : lags.reduce((sum, lag) => sum + lag, 0) };
}

/** From the headers of another instance; empty where they are absent. */
export function parseStaleness(stale: string, lag: string): Staleness | undefined {
  if (stale !== 'true') return undefined;
  return { lag: /^\d{1,15}$/.test(lag) ? Number(lag) : undefined };
}
