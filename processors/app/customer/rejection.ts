/** Why a record cannot become a change; it belongs into the dead letters. */
export type RejectCode =
  | 'invalid_utf8'
  | 'invalid_json'
  | 'unsupported_encoding'
  | 'unknown_shape'
  | 'invalid_change'
  | 'wrong_source'
  | 'invalid_operation'
  | 'truncate'
  | 'missing_row'
  | 'missing_id'
  | 'invalid_id'
  | 'key_mismatch'
  | 'invalid_field'
  | 'invalid_timestamp'
  | 'missing_timestamp'
  | 'tombstone_without_id';

/** `detail` names columns and forms, never values. */
export interface Rejection {
  readonly kind: 'reject';
  readonly code: RejectCode;
  readonly detail: string;
}

export function reject(code: RejectCode, detail: string): Rejection {
  return { kind: 'reject', code, detail };
}

/** Whether a step gave up; what it would have returned never has `kind: 'reject'`. */
export function isRejection(result: unknown): result is Rejection {
  return typeof result === 'object' && result !== null && 'kind' in result && result.kind === 'reject';
}
