/** What was accepted and waits to be worked off. */
export interface Backlog {
  /** So much that nothing more is accepted for now. */
  readonly isTooLong: boolean;
}

export const noBacklog: Backlog = { isTooLong: false };
