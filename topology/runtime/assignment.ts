/** What members tell each other through the group: ownership, local state and addresses up, the assignment down. Versioned JSON. */
import { canonicalJson } from '../../schemas/serde.ts';

const version = 2;
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
  /** Tasks it keeps warm for others. */
  readonly standbyTasks: readonly string[];
  /**
   * Where the stores of a task stand in their changelogs, summed up, for every task that has some here, open or not. An owned task that is not
   * among these runs: it has everything.
   */
  readonly positions: Readonly<Record<string, number>>;
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
  readonly standbyTasks: readonly string[];
  readonly transactionalId?: string;
}

/** What the leader tells every member. */
export interface AssignmentData {
  readonly tasks: readonly string[];
  /** Tasks to keep warm: their changelogs are followed, nothing is processed. */
  readonly standbyTasks: readonly string[];
  /** Those of `standbyTasks` that are to move here once they have caught up. */
  readonly warmUpTasks: readonly string[];
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

/** What a member has whose assignment cannot be read. */
export const noAssignment: AssignmentData = Object.freeze({
  tasks: [],
  standbyTasks: [],
  warmUpTasks: [],
  peers: [],
  deadTransactionalIds: [],
});

/** `undefined` for user data that is not ours. */
export function decodeClaims(bytes: Uint8Array): MemberClaims | undefined {
  const data = decode(bytes);
  const state = data === undefined ? undefined : decodeState(data);
  if (data === undefined || state === undefined) return undefined;
  const { instanceId, url, startedAtMs, generation, fingerprint, transactionalId } = data;
  if (typeof instanceId !== 'string' || typeof startedAtMs !== 'number' || typeof generation !== 'number')
    return undefined;
  if (typeof fingerprint !== 'string') return undefined;
  return {
    ...state,
    instanceId,
    startedAtMs,
    generation,
    fingerprint,
    ...(typeof url === 'string' ? { url } : {}),
    ...(typeof transactionalId === 'string' ? { transactionalId } : {}),
  };
}

function decodeState({
  ownedTasks,
  standbyTasks,
  positions,
}: Readonly<Record<string, unknown>>): Pick<MemberClaims, 'ownedTasks' | 'standbyTasks' | 'positions'> | undefined {
  if (!isStrings(ownedTasks) || !isStrings(standbyTasks) || !isOffsets(positions)) return undefined;
  return { ownedTasks, standbyTasks, positions };
}

export function encodeAssignment(assignment: AssignmentData): Uint8Array {
  return encode({ version, ...assignment });
}

/** `undefined` for bytes that are not ours (an older or foreign leader). */
export function decodeAssignment(bytes: Uint8Array): AssignmentData | undefined {
  const data = decode(bytes);
  if (data === undefined || !isStrings(data['tasks']) || !Array.isArray(data['peers'])) return undefined;
  const { standbyTasks, warmUpTasks, refusal } = data;
  const dead = data['deadTransactionalIds'];
  return {
    tasks: data['tasks'],
    standbyTasks: isStrings(standbyTasks) ? standbyTasks : [],
    warmUpTasks: isStrings(warmUpTasks) ? warmUpTasks : [],
    peers: data['peers'].map(decodePeer).filter((peer) => peer !== undefined),
    deadTransactionalIds: isStrings(dead) ? dead : [],
    ...(refusal === 'INSTANCE_ID_TAKEN' || refusal === 'FINGERPRINT_DIFFERS' ? { refusal } : {}),
  };
}

function decodePeer(value: unknown): AssignedPeer | undefined {
  if (!isRecord(value)) return undefined;
  const { memberId, instanceId, url, tasks, standbyTasks, transactionalId } = value;
  if (typeof memberId !== 'string' || typeof instanceId !== 'string' || !isStrings(tasks)) return undefined;
  return {
    memberId,
    instanceId,
    tasks,
    standbyTasks: isStrings(standbyTasks) ? standbyTasks : [],
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

function isOffsets(value: unknown): value is Readonly<Record<string, number>> {
  return isRecord(value) && Object.values(value).every((offset) => Number.isSafeInteger(offset) && Number(offset) >= 0);
}
