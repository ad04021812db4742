/** What Kafka's error codes mean to the engine: one table, from the protocol guide. */
import { StreamError, type ErrorCode, type Facts } from '../../errors.ts';

interface Row {
  readonly name: string;
  readonly code: ErrorCode;
  /** Worth another attempt; `moved` after asking anew who is responsible. */
  readonly again?: 'same' | 'moved';
}

const unavailable = (name: string): Row => ({ name, code: 'LOG_UNAVAILABLE', again: 'same' });
const moved = (name: string): Row => ({ name, code: 'LOG_UNAVAILABLE', again: 'moved' });
const refused = (name: string): Row => ({ name, code: 'LOG_REFUSED' });
/** Permissions are the broker's affair and may be given at any time; credentials are a setting of ours. */
const unauthorized = (name: string): Row => ({ name, code: 'LOG_UNAUTHORIZED' });
const fencedProducer = (name: string): Row => ({ name, code: 'PRODUCER_FENCED' });
const fencedMember = (name: string): Row => ({ name, code: 'MEMBER_FENCED' });

const rows: Readonly<Record<number, Row>> = {
  [-1]: unavailable('UNKNOWN_SERVER_ERROR'),
  1: { name: 'OFFSET_OUT_OF_RANGE', code: 'OFFSET_OUT_OF_RANGE' },
  2: { name: 'CORRUPT_MESSAGE', code: 'RECORD_CORRUPT', again: 'same' },
  3: { name: 'UNKNOWN_TOPIC_OR_PARTITION', code: 'TOPIC_UNKNOWN', again: 'moved' },
  4: refused('INVALID_FETCH_SIZE'),
  5: moved('LEADER_NOT_AVAILABLE'),
  6: moved('NOT_LEADER_OR_FOLLOWER'),
  7: unavailable('REQUEST_TIMED_OUT'),
  8: moved('BROKER_NOT_AVAILABLE'),
  9: moved('REPLICA_NOT_AVAILABLE'),
  10: { name: 'MESSAGE_TOO_LARGE', code: 'RECORD_TOO_LARGE' },
  12: refused('OFFSET_METADATA_TOO_LARGE'),
  13: moved('NETWORK_EXCEPTION'),
  14: unavailable('COORDINATOR_LOAD_IN_PROGRESS'),
  15: moved('COORDINATOR_NOT_AVAILABLE'),
  16: moved('NOT_COORDINATOR'),
  17: { name: 'INVALID_TOPIC_EXCEPTION', code: 'TOPIC_INVALID' },
  18: { name: 'RECORD_LIST_TOO_LARGE', code: 'RECORD_TOO_LARGE' },
  19: unavailable('NOT_ENOUGH_REPLICAS'),
  20: unavailable('NOT_ENOUGH_REPLICAS_AFTER_APPEND'),
  21: refused('INVALID_REQUIRED_ACKS'),
  22: fencedMember('ILLEGAL_GENERATION'),
  23: refused('INCONSISTENT_GROUP_PROTOCOL'),
  24: refused('INVALID_GROUP_ID'),
  25: fencedMember('UNKNOWN_MEMBER_ID'),
  26: refused('INVALID_SESSION_TIMEOUT'),
  27: { name: 'REBALANCE_IN_PROGRESS', code: 'REBALANCE_IN_PROGRESS' },
  28: refused('INVALID_COMMIT_OFFSET_SIZE'),
  29: unauthorized('TOPIC_AUTHORIZATION_FAILED'),
  30: unauthorized('GROUP_AUTHORIZATION_FAILED'),
  31: unauthorized('CLUSTER_AUTHORIZATION_FAILED'),
  32: { name: 'INVALID_TIMESTAMP', code: 'RECORD_INVALID' },
  33: refused('UNSUPPORTED_SASL_MECHANISM'),
  34: refused('ILLEGAL_SASL_STATE'),
  35: refused('UNSUPPORTED_VERSION'),
  36: { name: 'TOPIC_ALREADY_EXISTS', code: 'TOPIC_EXISTS' },
  37: { name: 'INVALID_PARTITIONS', code: 'TOPIC_INVALID' },
  38: { name: 'INVALID_REPLICATION_FACTOR', code: 'TOPIC_INVALID' },
  39: { name: 'INVALID_REPLICA_ASSIGNMENT', code: 'TOPIC_INVALID' },
  40: { name: 'INVALID_CONFIG', code: 'TOPIC_INVALID' },
  41: moved('NOT_CONTROLLER'),
  42: refused('INVALID_REQUEST'),
  43: refused('UNSUPPORTED_FOR_MESSAGE_FORMAT'),
  44: { name: 'POLICY_VIOLATION', code: 'TOPIC_INVALID' },
  45: fencedProducer('OUT_OF_ORDER_SEQUENCE_NUMBER'),
  47: fencedProducer('INVALID_PRODUCER_EPOCH'),
  48: fencedProducer('INVALID_TXN_STATE'),
  49: fencedProducer('INVALID_PRODUCER_ID_MAPPING'),
  50: refused('INVALID_TRANSACTION_TIMEOUT'),
  51: unavailable('CONCURRENT_TRANSACTIONS'),
  52: moved('TRANSACTION_COORDINATOR_FENCED'),
  53: unauthorized('TRANSACTIONAL_ID_AUTHORIZATION_FAILED'),
  54: refused('SECURITY_DISABLED'),
  55: unavailable('OPERATION_NOT_ATTEMPTED'),
  56: moved('KAFKA_STORAGE_ERROR'),
  58: refused('SASL_AUTHENTICATION_FAILED'),
  59: fencedProducer('UNKNOWN_PRODUCER_ID'),
  60: unavailable('REASSIGNMENT_IN_PROGRESS'),
  72: moved('LISTENER_NOT_FOUND'),
  73: refused('TOPIC_DELETION_DISABLED'),
  74: moved('FENCED_LEADER_EPOCH'),
  75: moved('UNKNOWN_LEADER_EPOCH'),
  76: refused('UNSUPPORTED_COMPRESSION_TYPE'),
  78: moved('OFFSET_NOT_AVAILABLE'),
  79: fencedMember('MEMBER_ID_REQUIRED'),
  80: moved('PREFERRED_LEADER_NOT_AVAILABLE'),
  81: refused('GROUP_MAX_SIZE_REACHED'),
  82: fencedMember('FENCED_INSTANCE_ID'),
  87: { name: 'INVALID_RECORD', code: 'RECORD_INVALID' },
  88: { name: 'UNSTABLE_OFFSET_COMMIT', code: 'OFFSETS_UNSTABLE' },
  89: unavailable('THROTTLING_QUOTA_EXCEEDED'),
  90: fencedProducer('PRODUCER_FENCED'),
  100: { name: 'UNKNOWN_TOPIC_ID', code: 'TOPIC_UNKNOWN', again: 'moved' },
  110: fencedMember('FENCED_MEMBER_EPOCH'),
  113: fencedMember('STALE_MEMBER_EPOCH'),
  120: fencedProducer('TRANSACTION_ABORTABLE'),
};

/** Numbers of the codes that are treated by name somewhere. */
export const kafkaCode = {
  none: 0,
  offsetOutOfRange: 1,
  unknownTopicOrPartition: 3,
  unknownMemberId: 25,
  topicAlreadyExists: 36,
  duplicateSequenceNumber: 46,
  operationNotAttempted: 55,
  memberIdRequired: 79,
} as const;

const connectionFailed = 'CONNECTION_FAILED';
const requestTimedOut = 'REQUEST_UNANSWERED';

const rowsByName = new Map<string, Row>(
  [...Object.values(rows), moved(connectionFailed), moved(requestTimedOut)].map((row) => [row.name, row]),
);

/** The error that stands for a Kafka error code; the fact `kafkaError` names it. */
export function kafkaError(code: number, what: string, facts: Facts = {}): StreamError {
  const row = rows[code] ?? refused(`ERROR_${code}`);
  return new StreamError(row.code, `${what}: ${row.name}`, { facts: { ...facts, kafkaError: row.name } });
}

/** Throws unless the code is 0. */
export function checkCode(code: number, what: string, facts: Facts = {}): void {
  if (code !== kafkaCode.none) throw kafkaError(code, what, facts);
}

/** The connection broke, or could not be made. */
export function connectionError(message: string, options: { facts: Facts; cause?: unknown }): StreamError {
  return new StreamError('LOG_UNAVAILABLE', message, {
    facts: { ...options.facts, kafkaError: connectionFailed },
    cause: options.cause,
  });
}

/** The broker did not answer in time: what was asked may have happened. */
export function timeoutError(message: string, facts: Facts): StreamError {
  return new StreamError('LOG_UNAVAILABLE', message, { facts: { ...facts, kafkaError: requestTimedOut } });
}

function rowOf(error: unknown): Row | undefined {
  if (!(error instanceof StreamError)) return undefined;
  const name = error.facts['kafkaError'];
  return typeof name === 'string' ? rowsByName.get(name) : undefined;
}

/** Whether another attempt may help, and whether to ask first who is responsible now. */
export function attemptAgain(error: unknown): 'same' | 'moved' | undefined {
  return rowOf(error)?.again;
}

/** Whether the broker gave this reason. */
export function isKafkaError(
  error: unknown,
  name: 'CONCURRENT_TRANSACTIONS' | 'ILLEGAL_GENERATION' | 'FENCED_INSTANCE_ID',
): boolean {
  return rowOf(error)?.name === name;
}

/** Whether the error says nothing about what the broker did: no answer came. */
export function isUnanswered(error: unknown): boolean {
  const name = rowOf(error)?.name;
  return name === connectionFailed || name === requestTimedOut;
}
