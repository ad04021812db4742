/** Turns what LevelDB and the file system report into the codes of the store contract. */
import { StreamError, type ErrorCode, type Facts } from '../errors.ts';

/** A property of something thrown, which may come from another realm, where `instanceof Error` says no. */
function propertyOf(error: unknown, name: 'code' | 'message' | 'name' | 'cause'): unknown {
  return typeof error === 'object' && error !== null ? (error as Record<string, unknown>)[name] : undefined;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** The code of an error of Node or LevelDB; empty if it has none. */
export function errorCode(error: unknown): string {
  return textOf(propertyOf(error, 'code'));
}

export function isRangeError(error: unknown): boolean {
  return propertyOf(error, 'name') === 'RangeError';
}

/** The innermost error: LevelDB's own word sits below wrappers. */
function rootOf(error: unknown): { readonly code: string; readonly message: string } {
  let root = error;
  for (let cause = propertyOf(root, 'cause'); cause !== undefined; cause = propertyOf(root, 'cause')) root = cause;
  return { code: errorCode(root), message: textOf(propertyOf(root, 'message')) };
}

const closed: readonly string[] = ['LEVEL_DATABASE_NOT_OPEN', 'LEVEL_ITERATOR_NOT_OPEN', 'LEVEL_BATCH_NOT_OPEN'];

function verdict(code: string, message: string): ErrorCode {
  if (code === 'LEVEL_LOCKED') return 'STORE_LOCKED';
  if (closed.includes(code)) return 'STORE_NOT_OPEN';
  // A file that LevelDB counts on is gone, or there is no database where one must be.
  if (message.includes('No such file') || message.includes('does not exist')) return 'STORE_CORRUPT';
  if (code === 'LEVEL_CORRUPTION' || message.startsWith('Corruption')) return 'STORE_CORRUPT';
  return 'STORE_IO';
}

const explanations: Partial<Record<ErrorCode, string>> = {
  STORE_LOCKED: 'store directory is in use by another process',
  STORE_NOT_OPEN: 'store is closed',
  STORE_CORRUPT: 'store directory is damaged',
  STORE_IO: 'store directory cannot be read or written',
};

/** A `StreamError` for any failure of LevelDB or a file. */
export function storeError(error: unknown, facts: Facts): StreamError {
  if (error instanceof StreamError) return error;
  const { code, message } = rootOf(error);
  const chosen = verdict(code, message);
  return new StreamError(chosen, explanations[chosen] ?? chosen, { facts, cause: error });
}

/** A `STORE_CORRUPT` that says what is wrong where. */
export function corrupt(problem: string, facts: Facts, cause?: unknown): StreamError {
  return new StreamError('STORE_CORRUPT', `store directory is damaged: ${problem}`, { facts, cause });
}
