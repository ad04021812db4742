/** Shared work that begins once what it needs is there, however long that takes. */
import type { SharedWork } from './shared-work.ts';

export interface PreparedWork {
  start(): void;
  /** Ends what is under way, or being prepared. */
  close(): Promise<void>;
}

/** `prepare` resolves with the work, not yet started, or with `undefined` once `signal` has aborted. */
export function preparedWork(prepare: (signal: AbortSignal) => Promise<SharedWork | undefined>): PreparedWork {
  const end = new AbortController();
  let starting: Promise<SharedWork | undefined> | undefined;
  const begin = async (): Promise<SharedWork | undefined> => {
    const work = await prepare(end.signal);
    work?.start();
    return work;
  };
  return {
    start: () => {
      starting ??= begin();
    },
    close: async () => {
      end.abort();
      await (await starting)?.close();
    },
  };
}
