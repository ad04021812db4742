/** Who runs which task: a pure function of what the members claim. Sticky, balanced, and cooperative: a task changes hands only once it is free. */
import type { JoinedMember } from '../../connectors/log.ts';
import { decodeClaims } from './assignment.ts';
import type { AssignedPeer, AssignmentData, MemberClaims } from './assignment.ts';

export interface AssignorInput {
  readonly members: readonly JoinedMember[];
  readonly tasks: readonly string[];
  readonly fingerprint: string;
  /** Members of the generation before, as this leader knows them, for ending what the dead left open. */
  readonly previous: readonly AssignedPeer[];
  /** Transactional ids of the dead that earlier generations already carried. */
  readonly dead: readonly string[];
}

export interface AssignorResult {
  readonly assignments: ReadonlyMap<string, AssignmentData>;
  /** True when some task waits for its old owner to let go: another rebalance has to follow. */
  readonly isProvisional: boolean;
}

interface Candidate {
  readonly memberId: string;
  readonly claims: MemberClaims;
  readonly target: Set<string>;
}

/** Most ids of dead members that are carried along; older ones are ended by the transaction timeout. */
const deadIdsMax = 100;

export function assignTasks(input: AssignorInput): AssignorResult {
  const { candidates, refused } = sortMembers(input);
  const owners = currentOwners(candidates, new Set(input.tasks));
  distribute(candidates, input.tasks, owners);
  const withheld = new Set<string>();
  for (const candidate of candidates)
    for (const task of candidate.target) {
      const owner = owners.get(task);
      if (owner !== undefined && owner !== candidate) withheld.add(task);
    }
  const peers = describePeers(input, { candidates, withheld, owners });
  const dead = deadIds(input, candidates);
  const assignments = new Map<string, AssignmentData>();
  for (const member of input.members) {
    const tasks = peers.find((peer) => peer.memberId === member.memberId)?.tasks ?? [];
    const refusal = refused.get(member.memberId);
    assignments.set(member.memberId, {
      tasks,
      peers,
      deadTransactionalIds: dead,
      ...(refusal === undefined ? {} : { refusal }),
    });
  }
  return { assignments, isProvisional: withheld.size > 0 };
}

function sortMembers(input: AssignorInput): {
  candidates: Candidate[];
  refused: Map<string, 'INSTANCE_ID_TAKEN' | 'FINGERPRINT_DIFFERS'>;
} {
  const refused = new Map<string, 'INSTANCE_ID_TAKEN' | 'FINGERPRINT_DIFFERS'>();
  const byInstance = new Map<string, Candidate>();
  for (const member of input.members) {
    const claims = decodeClaims(member.userData);
    if (claims === undefined) continue;
    if (claims.fingerprint !== input.fingerprint) {
      refused.set(member.memberId, 'FINGERPRINT_DIFFERS');
      continue;
    }
    const candidate = { memberId: member.memberId, claims, target: new Set<string>() };
    const rival = byInstance.get(claims.instanceId);
    const loser = rival === undefined ? undefined : isOlder(rival.claims, claims) ? candidate : rival;
    if (loser !== undefined) refused.set(loser.memberId, 'INSTANCE_ID_TAKEN');
    if (loser !== candidate) byInstance.set(claims.instanceId, candidate);
  }
  const candidates = [...byInstance.values()].sort((a, b) => compare(a.claims.instanceId, b.claims.instanceId));
  return { candidates, refused };
}

function isOlder(a: MemberClaims, b: MemberClaims): boolean {
  if (a.ownedTasks.length > 0 !== b.ownedTasks.length > 0) return a.ownedTasks.length > 0;
  return a.startedAtMs <= b.startedAtMs;
}

/** The member of the newest generation that claims a task owns it; older claims are stale. */
function currentOwners(candidates: readonly Candidate[], tasks: ReadonlySet<string>): Map<string, Candidate> {
  const owners = new Map<string, Candidate>();
  for (const candidate of candidates)
    for (const task of candidate.claims.ownedTasks) {
      if (!tasks.has(task)) continue;
      const rival = owners.get(task);
      if (rival === undefined || rival.claims.generation < candidate.claims.generation) owners.set(task, candidate);
    }
  return owners;
}

/**
 * Fills `target`: first what each member owns, then what lies on its disk, then the rest, each member up to its fair share. The share is fair over all
 * tasks and, among equals, spread by sub-topology, so that the heavy ones do not gather.
 */
function distribute(
  candidates: readonly Candidate[],
  tasks: readonly string[],
  owners: ReadonlyMap<string, Candidate>,
): void {
  if (candidates.length === 0) return;
  const floor = Math.floor(tasks.length / candidates.length);
  let extra = tasks.length - floor * candidates.length;
  const placed = new Set<string>();
  const place = (candidate: Candidate, task: string): boolean => {
    if (placed.has(task)) return false;
    const size = candidate.target.size;
    if (size > floor || (size === floor && extra === 0)) return false;
    if (size === floor) extra -= 1;
    candidate.target.add(task);
    placed.add(task);
    return true;
  };
  const ordered = spread(tasks);
  for (const task of ordered) {
    const owner = owners.get(task);
    if (owner !== undefined) place(owner, task);
  }
  for (const candidate of candidates)
    for (const task of candidate.claims.storedTasks) if (tasks.includes(task)) place(candidate, task);
  for (const task of ordered)
    for (const candidate of leastLoadedFirst(candidates, task)) if (place(candidate, task)) break;
}

function leastLoadedFirst(candidates: readonly Candidate[], task: string): readonly Candidate[] {
  const subTopology = subTopologyOf(task);
  return [...candidates].sort(
    (a, b) =>
      a.target.size - b.target.size ||
      countOf(a, subTopology) - countOf(b, subTopology) ||
      compare(a.claims.instanceId, b.claims.instanceId),
  );
}

function countOf(candidate: Candidate, subTopology: string): number {
  let count = 0;
  for (const task of candidate.target) if (subTopologyOf(task) === subTopology) count += 1;
  return count;
}

/** Tasks by partition first, so that filling up to a share takes a bit of every sub-topology. */
function spread(tasks: readonly string[]): readonly string[] {
  return [...tasks].sort((a, b) => partitionOf(a) - partitionOf(b) || compare(a, b));
}

function subTopologyOf(task: string): string {
  return task.slice(0, task.indexOf('_'));
}

function partitionOf(task: string): number {
  return Number(task.slice(task.indexOf('_') + 1));
}

function describePeers(
  input: AssignorInput,
  state: { candidates: readonly Candidate[]; withheld: ReadonlySet<string>; owners: ReadonlyMap<string, Candidate> },
): readonly AssignedPeer[] {
  const known = new Map(state.candidates.map((candidate) => [candidate.memberId, candidate]));
  const peers: AssignedPeer[] = [];
  for (const { memberId } of input.members) {
    const candidate = known.get(memberId);
    if (candidate === undefined) continue;
    const { claims } = candidate;
    peers.push({
      memberId,
      instanceId: claims.instanceId,
      tasks: [...candidate.target].filter((task) => !state.withheld.has(task)).sort(compare),
      ...(claims.url === undefined ? {} : { url: claims.url }),
      ...(claims.transactionalId === undefined ? {} : { transactionalId: claims.transactionalId }),
    });
  }
  return peers;
}

function deadIds(input: AssignorInput, candidates: readonly Candidate[]): readonly string[] {
  const alive = new Set(candidates.map((candidate) => candidate.claims.transactionalId));
  const ids = new Set(input.dead);
  for (const peer of input.previous) if (peer.transactionalId !== undefined) ids.add(peer.transactionalId);
  return [...ids].filter((id) => !alive.has(id)).slice(-deadIdsMax);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
