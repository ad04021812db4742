/** Who runs which task: a pure function of what the members claim. Sticky, balanced, and cooperative: a task changes hands only once it is free. */
import type { JoinedMember } from '../../connectors/log.ts';
import { decodeClaims } from './assignment.ts';
import type { AssignedPeer, AssignmentData, MemberClaims } from './assignment.ts';
import { balance, compare, decide, placeStandbys } from './placement.ts';
import type { Candidate, Decision, PlacementLimits, Situation } from './placement.ts';

export interface TaskToAssign {
  readonly id: string;
  /** Whether it keeps state that can be restored: only such a task has a lag and standbys. */
  readonly isStateful: boolean;
  /** Sum of the ends of its changelogs; `undefined` when they could not be asked for: then the most complete claim counts as complete. */
  readonly end: number | undefined;
}

export interface AssignorInput {
  readonly members: readonly JoinedMember[];
  readonly tasks: readonly TaskToAssign[];
  readonly fingerprint: string;
  readonly limits: PlacementLimits;
  /** Members of the generation before, as this leader knows them, for ending what the dead left open. */
  readonly previous: readonly AssignedPeer[];
  /** Transactional ids of the dead that earlier generations already carried. */
  readonly dead: readonly string[];
}

export interface AssignorResult {
  readonly assignments: ReadonlyMap<string, AssignmentData>;
  /** True when some task waits for its old owner to let go: another rebalance follows at once. */
  readonly isProvisional: boolean;
  /** Tasks that run elsewhere than they belong until somebody has caught up. */
  readonly misplacedCount: number;
}

/** Most ids of dead members that are carried along; older ones are ended by the transaction timeout. */
const deadIdsMax = 100;

export function assignTasks(input: AssignorInput): AssignorResult {
  const { candidates, refused } = sortMembers(input);
  const tasks = input.tasks.map(({ id }) => id);
  const owners = currentOwners(candidates, new Set(tasks));
  const situation = { candidates, tasks, owners, ends: endsOf(input.tasks, candidates), limits: input.limits };
  const decision = decide(situation, balance(situation));
  const { peers, warmUps, withheldCount } = describePeers(input, situation, decision);
  const deadTransactionalIds = deadIds(input, candidates);
  const assignments = new Map<string, AssignmentData>();
  for (const { memberId } of input.members) {
    const peer = peers.find((candidate) => candidate.memberId === memberId);
    const refusal = refused.get(memberId);
    assignments.set(memberId, {
      tasks: peer?.tasks ?? [],
      standbyTasks: peer?.standbyTasks ?? [],
      warmUpTasks: warmUps.get(memberId) ?? [],
      peers,
      deadTransactionalIds,
      ...(refusal === undefined ? {} : { refusal }),
    });
  }
  return { assignments, isProvisional: withheldCount > 0, misplacedCount: decision.misplacedCount };
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
    const candidate = { memberId: member.memberId, claims };
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

/** Of the stateful tasks. */
function endsOf(tasks: readonly TaskToAssign[], candidates: readonly Candidate[]): ReadonlyMap<string, number> {
  const ends = new Map<string, number>();
  for (const { id, isStateful, end } of tasks)
    if (isStateful) ends.set(id, end ?? Math.max(0, ...candidates.map(({ claims }) => claims.positions[id] ?? 0)));
  return ends;
}

interface Described {
  readonly peers: readonly AssignedPeer[];
  readonly warmUps: ReadonlyMap<string, readonly string[]>;
  readonly withheldCount: number;
}

/**
 * What each member gets. A task that is to move is given to nobody yet; whoever gets it next keeps its state warm until then, so that what is open stays open
 * and what is missing is read while the old owner lets go.
 */
function describePeers({ members }: AssignorInput, situation: Situation, { active, warmUps }: Decision): Described {
  const { candidates, owners, ends } = situation;
  const standbys = placeStandbys(situation, active);
  const isWithheld = (task: string): boolean => {
    const owner = owners.get(task);
    return owner !== undefined && owner !== active.get(task);
  };
  const peers: AssignedPeer[] = [];
  const warming = new Map<string, readonly string[]>();
  for (const { memberId } of members) {
    const candidate = candidates.find((other) => other.memberId === memberId);
    if (candidate === undefined) continue;
    const given = tasksOf(active, candidate);
    const coming = given.filter((task) => isWithheld(task) && ends.has(task));
    const warmUpTasks = tasksOf(warmUps, candidate);
    const standbyTasks = new Set([...(standbys.get(candidate) ?? []), ...warmUpTasks, ...coming]);
    warming.set(memberId, warmUpTasks);
    const { instanceId, url, transactionalId } = candidate.claims;
    peers.push({
      memberId,
      instanceId,
      tasks: given.filter((task) => !isWithheld(task)),
      standbyTasks: [...standbyTasks].sort(compare),
      ...(url === undefined ? {} : { url }),
      ...(transactionalId === undefined ? {} : { transactionalId }),
    });
  }
  return { peers, warmUps: warming, withheldCount: situation.tasks.filter(isWithheld).length };
}

function tasksOf(places: ReadonlyMap<string, Candidate>, candidate: Candidate): readonly string[] {
  return [...places]
    .filter(([, place]) => place === candidate)
    .map(([task]) => task)
    .sort(compare);
}

function deadIds(input: AssignorInput, candidates: readonly Candidate[]): readonly string[] {
  const alive = new Set(candidates.map((candidate) => candidate.claims.transactionalId));
  const ids = new Set(input.dead);
  for (const peer of input.previous) if (peer.transactionalId !== undefined) ids.add(peer.transactionalId);
  return [...ids].filter((id) => !alive.has(id)).slice(-deadIdsMax);
}
