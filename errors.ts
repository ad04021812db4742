/** What the caller should conclude from a failure: `never` fix the cause, `with-backoff` wait, `after-rejoin` rejoin the group, `indefinite` the effect may or may not have happened. */
export type Retry = 'never' | 'with-backoff' | 'after-rejoin' | 'indefinite';

const errors = {
  CONFIG_INVALID: { retry: 'never' },
  TOPOLOGY_INVALID: { retry: 'never' },
  NOT_COPARTITIONED: { retry: 'never' },
  SOURCE_TOPIC_MISSING: { retry: 'with-backoff' },
  SOURCE_TOPIC_CHANGED: { retry: 'never' },
  INTERNAL_TOPIC_INVALID: { retry: 'never' },
  INTERNAL_TOPIC_UNKNOWN: { retry: 'never' },
  TOPIC_EXISTS: { retry: 'never' },
  TOPIC_UNKNOWN: { retry: 'with-backoff' },
  TOPIC_INVALID: { retry: 'never' },
  OFFSET_OUT_OF_RANGE: { retry: 'never' },
  RECORD_TOO_LARGE: { retry: 'never' },
  RECORD_INVALID: { retry: 'never' },
  RECORD_CORRUPT: { retry: 'never' },
  SERIALIZATION_FAILED: { retry: 'never' },
  DESERIALIZATION_FAILED: { retry: 'never' },
  TIMESTAMP_INVALID: { retry: 'never' },
  PROCESSING_FAILED: { retry: 'never' },
  LOG_UNAVAILABLE: { retry: 'with-backoff' },
  LOG_LOCKED: { retry: 'never' },
  LOG_CORRUPT: { retry: 'never' },
  LOG_CLOSED: { retry: 'never' },
  LOG_REFUSED: { retry: 'never' },
  LOG_UNAUTHORIZED: { retry: 'with-backoff' },
  OFFSETS_UNSTABLE: { retry: 'with-backoff' },
  COMMIT_INDEFINITE: { retry: 'indefinite' },
  PRODUCER_FENCED: { retry: 'after-rejoin' },
  MEMBER_FENCED: { retry: 'after-rejoin' },
  REBALANCE_IN_PROGRESS: { retry: 'after-rejoin' },
  TASK_MIGRATED: { retry: 'after-rejoin' },
  INSTANCE_ID_TAKEN: { retry: 'never' },
  STORE_NOT_OPEN: { retry: 'never' },
  STORE_LOCKED: { retry: 'with-backoff' },
  STORE_CORRUPT: { retry: 'never' },
  STORE_FOREIGN: { retry: 'never' },
  STORE_IO: { retry: 'with-backoff' },
  STORE_NOT_READY: { retry: 'with-backoff' },
  STORE_UNKNOWN: { retry: 'never' },
  QUERY_INVALID: { retry: 'never' },
  QUERY_TIMEOUT: { retry: 'with-backoff' },
  PEER_UNAVAILABLE: { retry: 'with-backoff' },
  DEPENDENCY_UNAVAILABLE: { retry: 'with-backoff' },
  DEPENDENCY_REFUSED: { retry: 'never' },
  SCHEMA_REFUSED: { retry: 'never' },
  REGISTRY_UNAVAILABLE: { retry: 'with-backoff' },
  DEAD_LETTER_UNKNOWN: { retry: 'never' },
  DEAD_LETTER_DECIDED: { retry: 'never' },
} as const satisfies Record<string, { retry: Retry }>;

export type ErrorCode = keyof typeof errors;
export type Facts = Readonly<Record<string, string | number | boolean | bigint | readonly string[] | undefined>>;

/**
 * The one error class. Match on `code` and read `retry`; never on message or class.
 *
 * `facts` hold names and numbers; never values of records, never secrets.
 */
export class StreamError extends Error {
  override readonly name = 'StreamError';
  readonly code: ErrorCode;
  readonly facts: Facts;

  constructor(code: ErrorCode, message: string, options: { facts?: Facts; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.facts = options.facts ?? {};
  }

  get retry(): Retry {
    return errors[this.code].retry;
  }
}

/** Whether `error` is a `StreamError` with one of these codes. */
export function hasCode(error: unknown, ...codes: readonly ErrorCode[]): error is StreamError {
  return error instanceof StreamError && codes.includes(error.code);
}

/** What was thrown, as one of ours. */
export function asStreamError(error: unknown): StreamError {
  if (error instanceof StreamError) return error;
  return new StreamError('PROCESSING_FAILED', 'an unexpected failure', { cause: error });
}

/** Causes that are looked through for a reason. */
const causesMax = 5;
const reasonForm = /^[a-z][a-z0-9_]{0,63}$/;

/** What exactly was wrong: the fact `reason` of a failure, or else of what caused it, where that is a word such as `amount_negative`. */
export function reasonOf(error: unknown): string | undefined {
  let current = error;
  for (let depth = 0; depth < causesMax && current instanceof Error; depth += 1, current = current.cause) {
    const reason = current instanceof StreamError ? current.facts['reason'] : undefined;
    if (typeof reason === 'string' && reasonForm.test(reason)) return reason;
  }
  return undefined;
}

/** Every code with its retry verdict, for documentation and its table test. */
export const errorTable: Readonly<Record<ErrorCode, { readonly retry: Retry }>> = errors;

/** States what cannot be otherwise; on in production. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}
