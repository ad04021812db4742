import { systemRandom } from '../../clock.ts';
import { openLog, type EmbeddedLog, type EmbeddedLogOptions } from './embedded-log.ts';
import { openFileStorage } from './file-storage.ts';

export interface FileLogOptions extends EmbeddedLogOptions {
  readonly directory: string;
  /**
   * What was acknowledged survives the end of the process in any case. `always`: power loss too; every commit then waits for the
   * disk. `on-roll`, the default: power loss may take what was written since a segment was full or the log was closed, and may
   * take part of a transaction.
   */
  readonly fsync?: 'always' | 'on-roll';
}

/**
 * Opens the log in a directory, or makes one. It belongs to this process until `close`; several instances share it through `client`.
 *
 * Rejects with `LOG_LOCKED` (facts `directory`, `pid`) if another process has it, `LOG_CORRUPT` (facts `file`, `offset` or `position`)
 * if something other than the unfinished end of a write is damaged, `LOG_UNAVAILABLE`. Opening reads all of the log once to check it.
 */
export async function embeddedLog(options: FileLogOptions): Promise<EmbeddedLog> {
  const storage = openFileStorage(options.directory, (options.random ?? systemRandom).uuid());
  try {
    return openLog(storage, options.fsync ?? 'on-roll', options);
  } catch (error) {
    storage.close();
    throw error;
  }
}
