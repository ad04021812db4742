/**
 * Where the embedded log keeps its bytes: append-only files under one root, in memory or on disk.
 *
 * Paths are relative and use `/`. Everything is synchronous, so that the broker changes its state and its files in one step.
 * Every method throws `LOG_UNAVAILABLE` naming the file when the medium refuses (full, read-only, gone).
 */
export interface Storage {
  /** What lies directly under a directory, in no order; empty if the directory does not exist. `''` is the root. */
  list(directory: string): readonly string[];
  /** Opens a file, made together with its directories if absent. Opening an open file gives the same one. */
  open(path: string): StoredFile;
  /** Replaces `to` in one step; the file must not be open. Survives power loss once it returns. */
  rename(from: string, to: string): void;
  /** Removes a file that is not open; no error if there is none. */
  remove(path: string): void;
  /** Removes a directory with all it holds; no error if there is none. */
  removeDirectory(path: string): void;
  /** Gives the root free for another process. Open files are closed before. */
  close(): void;
}

export interface StoredFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** Appends all of `bytes` or nothing. Once it returns, the bytes survive the end of the process, not yet power loss. */
  append(bytes: Uint8Array): void;
  /** At most `length` bytes from `position`, fewer only at the end of the file. Stays valid and is never written to. */
  read(position: number, length: number): Buffer;
  truncate(sizeBytes: number): void;
  /** Once it returns, what was appended survives power loss. */
  sync(): void;
  /** Later calls fail. */
  close(): void;
}
