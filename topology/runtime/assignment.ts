/** What members tell each other through the group: ownership, local state and addresses up, the assignment down. Versioned JSON. */
import { canonicalJson } from '../../schemas/serde.ts';

const version = 1;
/** A member's or an assignment's user data beyond this is refused unread. */
const userDataBytesMax = 4 * 1024 * 1024;

/** What a member says of itself when it joins. */
export interface MemberClaims {
  readonly instanceId: string;
  /** Where its API listens. */
  readonly url?: string;
  /** When this incarnation started, epoch ms: the older of two with one id stays. */
  readonly startedAtMs: number;
  /** Tasks it owns and goes on processing, as of `generation`. */
  readonly ownedTasks: readonly string[];
  /** The generation in which it came to own them; claims of an older one than another member's are stale. */
  readonly generation: number;
  /** Tasks whose stores are on its disk. */
  readonly storedTasks: readonly string[];
  /** Identifies the topology and plan; members with another one get nothing they could misread. */
  readonly fingerprint: string;
  /** Transactional id, so that survivors can end its open transaction when it dies. */
  readonly transactionalId?: string;
}

export interface AssignedPeer {
  readonly memberId: string;
  readonly instanceId: string;
  readonly url?: string;
  readonly tasks: readonly string[];
  readonly transactionalId?: string;
}

/** What the leader tells every member. */
export interface AssignmentData {
  readonly tasks: readonly string[];
  /** Everybody's tasks and addresses, for queries. */
  readonly peers: readonly AssignedPeer[];
  /** Transactional ids of members that left without saying so; ended by whoever meets their open transactions. */
  readonly deadTransactionalIds: readonly string[];
  /** Set when this member gets nothing on purpose. */
  readonly refusal?: 'INSTANCE_ID_TAKEN' | 'FINGERPRINT_DIFFERS';
}

export function encodeClaims(claims: MemberClaims): Uint8Array {
  return encode({ version, ...claims });
}

/** `undefined` for user data that is not ours. */
export function decodeClaims(bytes: Uint8Array): MemberClaims | undefined {
  const data = decode(bytes);
  if (data === undefined || !isStrings(data['ownedTasks']) || !isStrings(data['storedTasks'])) return undefined;
  const { instanceId, url, startedAtMs, generation, fingerprint, transactionalId } = data;
  if (typeof instanceId !== 'string' || typeof startedAtMs !== 'number' || typeof generation !== 'number')
    return undefined;
  if (typeof fingerprint !== 'string') return undefined;
  return {
    instanceId,
    startedAtMs,
    generation,
    fingerprint,
    ownedTasks: data['ownedTasks'],
    storedTasks: data['storedTasks'],
    ...(typeof url === 'string' ? { url } : {}),
    ...(typeof transactionalId === 'string' ? { transactionalId } : {}),
  };
}

export function encodeAssignment(assignment: AssignmentData): Uint8Array {
  return encode({ version, ...assignment });
}

/** `undefined` for bytes that are not ours (an older or foreign leader). */
export function decodeAssignment(bytes: Uint8Array): AssignmentData | undefined {
  const data = decode(bytes);
  if (data === undefined || !isStrings(data['tasks']) || !Array.isArray(data['peers'])) return undefined;
  const dead = data['deadTransactionalIds'];
  const refusal = data['refusal'];
  return {
    tasks: data['tasks'],
    peers: data['peers'].map(decodePeer).filter((peer) => peer !== undefined),
    deadTransactionalIds: isStrings(dead) ? dead : [],
    ...(refusal === 'INSTANCE_ID_TAKEN' || refusal === 'FINGERPRINT_DIFFERS' ? { refusal } : {}),
  };
}

function decodePeer(value: unknown): AssignedPeer | undefined {
  if (!isRecord(value)) return undefined;
  const { memberId, instanceId, url, tasks, transactionalId } = value;
  if (typeof memberId !== 'string' || typeof instanceId !== 'string' || !isStrings(tasks)) return undefined;
  return {
    memberId,
    instanceId,
    tasks,
    ...(typeof url === 'string' ? { url } : {}),
    ...(typeof transactionalId === 'string' ? { transactionalId } : {}),
  };
}

function encode(value: unknown): Uint8Array {
  return Buffer.from(canonicalJson(value) ?? '', 'utf8');
}

function decode(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  if (bytes.byteLength === 0 || bytes.byteLength > userDataBytesMax || bytes[0] !== 0x7b) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    return isRecord(value) && value['version'] === version ? value : undefined;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
