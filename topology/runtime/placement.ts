/** Which member is to run which task, and which members keep it warm: pure functions of who has what. */
import type { MemberClaims } from './assignment.ts';

/** A member that takes part. */
export interface Candidate {
  readonly memberId: string;
  readonly claims: MemberClaims;
}

export interface PlacementLimits {
  /** Copies of each stateful task that are kept warm besides the one that runs. */
  readonly standbys: number;
  /** Changelog records a member may have to catch up on and still take a task over at once. */
  readonly acceptableRecoveryLag: number;
  /** Tasks that are warmed up for a move at one time, over all members. */
  readonly warmUpsMax: number;
}

export interface Situation {
  readonly candidates: readonly Candidate[];
  /** Ids of all tasks. */
  readonly tasks: readonly string[];
  /** Who runs or restores a task now. */
  readonly owners: ReadonlyMap<string, Candidate>;
  /** Sum of the changelog ends of the tasks that keep state which can be restored. */
  readonly ends: ReadonlyMap<string, number>;
  readonly limits: PlacementLimits;
}

/** How many changelog records a member would have to read before it could run a task. */
export function lagOf({ owners, ends }: Situation, candidate: Candidate, task: string): number {
  const end = ends.get(task);
  if (end === undefined) return 0;
  const position = candidate.claims.positions[task];
  if (position !== undefined) return Math.max(0, end - position);
  return owners.get(task) === candidate ? 0 : end;
}

function hasState({ owners, ends }: Situation, candidate: Candidate, task: string): boolean {
  return ends.has(task) && (owners.get(task) === candidate || candidate.claims.positions[task] !== undefined);
}

// ---- who should run what, if all were caught up ------------------------------------------------------------------------

/**
 * Where each task belongs: fair shares that differ by at most one, as few moves as these allow, moves and orphans to where the state is, and the rest
 * spread by sub-topology, so that the heavy ones do not gather.
 */
export function balance(situation: Situation): ReadonlyMap<string, Candidate> {
  const draft = new Draft(situation);
  draft.keepWhatFits();
  draft.moveToState();
  draft.settleSurplus();
  draft.placeRest();
  return draft.targets;
}

class Draft {
  readonly targets = new Map<string, Candidate>();
  readonly #situation: Situation;
  readonly #ordered: readonly string[];
  readonly #shares: ReadonlyMap<Candidate, number>;
  readonly #placed = new Map<Candidate, string[]>();
  /** How many of its tasks a member has to give up. */
  readonly #surplus = new Map<Candidate, number>();

  constructor(situation: Situation) {
    this.#situation = situation;
    this.#ordered = spread(situation.tasks);
    for (const candidate of situation.candidates) this.#placed.set(candidate, []);
    this.#shares = shares(situation);
  }

  keepWhatFits(): void {
    for (const candidate of this.#situation.candidates) {
      const owned = this.#owned(candidate);
      const surplus = owned.length - this.#shareOf(candidate);
      if (surplus > 0) this.#surplus.set(candidate, surplus);
      else for (const task of owned) this.#place(task, candidate);
    }
  }

  /** Gives orphans, and what over-full members have to give up, to members that have the state, the most complete first. */
  moveToState(): void {
    for (const { task, candidate } of this.#moves()) {
      if (this.targets.has(task) || this.#roomOf(candidate) === 0) continue;
      const owner = this.#situation.owners.get(task);
      if (owner !== undefined) {
        const surplus = this.#surplus.get(owner) ?? 0;
        if (surplus === 0) continue;
        this.#surplus.set(owner, surplus - 1);
      }
      this.#place(task, candidate);
    }
  }

  /** What an over-full member has still to give up stays unplaced, the rest is kept. */
  settleSurplus(): void {
    for (const [owner, surplus] of this.#surplus) {
      const left = this.#owned(owner).filter((task) => !this.targets.has(task));
      for (const task of left.slice(0, left.length - surplus)) this.#place(task, owner);
    }
  }

  placeRest(): void {
    for (const task of this.#ordered) {
      if (this.targets.has(task)) continue;
      const [first] = this.#leastLoadedFirst(task);
      if (first !== undefined) this.#place(task, first);
    }
  }

  #moves(): readonly { readonly task: string; readonly candidate: Candidate }[] {
    const moves: { task: string; candidate: Candidate; lag: number; choices: number; order: number }[] = [];
    const receivers = this.#situation.candidates.filter((candidate) => this.#roomOf(candidate) > 0);
    for (const [order, task] of this.#ordered.entries()) {
      if (this.targets.has(task)) continue;
      const holders = receivers.filter((candidate) => hasState(this.#situation, candidate, task));
      for (const candidate of holders)
        moves.push({ task, candidate, lag: lagOf(this.#situation, candidate, task), choices: holders.length, order });
    }
    // Among equals the task with fewer places to go comes first.
    return moves.sort((a, b) => a.lag - b.lag || a.choices - b.choices || a.order - b.order);
  }

  #leastLoadedFirst(task: string): readonly Candidate[] {
    const subTopology = subTopologyOf(task);
    const countOf = (candidate: Candidate): number =>
      this.#tasksOf(candidate).filter((other) => subTopologyOf(other) === subTopology).length;
    return this.#situation.candidates
      .filter((candidate) => this.#roomOf(candidate) > 0)
      .sort(
        (a, b) =>
          this.#tasksOf(a).length - this.#tasksOf(b).length ||
          countOf(a) - countOf(b) ||
          compare(a.claims.instanceId, b.claims.instanceId),
      );
  }

  #place(task: string, candidate: Candidate): void {
    this.targets.set(task, candidate);
    this.#tasksOf(candidate).push(task);
  }

  #owned(candidate: Candidate): readonly string[] {
    return this.#ordered.filter((task) => this.#situation.owners.get(task) === candidate);
  }

  #tasksOf(candidate: Candidate): string[] {
    return this.#placed.get(candidate) ?? [];
  }

  #shareOf(candidate: Candidate): number {
    return this.#shares.get(candidate) ?? 0;
  }

  /** An over-full member takes nothing, however much it is to give up. */
  #roomOf(candidate: Candidate): number {
    return this.#surplus.has(candidate) ? 0 : this.#shareOf(candidate) - this.#tasksOf(candidate).length;
  }
}

/** Who has most already gets what cannot be divided. */
function shares({ candidates, tasks, owners }: Situation): ReadonlyMap<Candidate, number> {
  const share = Math.floor(tasks.length / Math.max(1, candidates.length));
  const extra = tasks.length - share * candidates.length;
  const owned = new Map<Candidate, number>();
  for (const owner of owners.values()) owned.set(owner, (owned.get(owner) ?? 0) + 1);
  const stored = (candidate: Candidate): number => Object.keys(candidate.claims.positions).length;
  const ranked = [...candidates].sort(
    (a, b) =>
      (owned.get(b) ?? 0) - (owned.get(a) ?? 0) ||
      stored(b) - stored(a) ||
      compare(a.claims.instanceId, b.claims.instanceId),
  );
  return new Map(ranked.map((candidate, rank) => [candidate, rank < extra ? share + 1 : share]));
}

// ---- who runs what now -------------------------------------------------------------------------------------------------

export interface Decision {
  /** Who runs each task, now or as soon as its owner let go. */
  readonly active: ReadonlyMap<string, Candidate>;
  /** Who prepares to run a task that for now stays with a member that has its state. */
  readonly warmUps: ReadonlyMap<string, Candidate>;
  /** Tasks that are not where they belong: there is more to move once somebody caught up. */
  readonly misplacedCount: number;
}

/** A task goes where it belongs if its state is there, as good as complete; until then it stays where most of it is. */
export function decide(situation: Situation, targets: ReadonlyMap<string, Candidate>): Decision {
  const { acceptableRecoveryLag, warmUpsMax } = situation.limits;
  const active = new Map<string, Candidate>();
  const misplaced: { task: string; target: Candidate; lag: number; isStandby: boolean }[] = [];
  for (const task of situation.tasks) {
    const target = targets.get(task);
    if (target === undefined) continue;
    const lag = lagOf(situation, target, task);
    const keeper = lag <= acceptableRecoveryLag ? target : mostComplete(situation, task, target);
    active.set(task, keeper);
    const isStandby = target.claims.standbyTasks.includes(task);
    if (keeper !== target) misplaced.push({ task, target, lag, isStandby });
  }
  misplaced.sort((a, b) => Number(b.isStandby) - Number(a.isStandby) || a.lag - b.lag || compare(a.task, b.task));
  const warmUps = new Map(misplaced.slice(0, warmUpsMax).map(({ task, target }) => [task, target]));
  return { active, warmUps, misplacedCount: misplaced.length };
}

/** The member with the smallest lag; among equals the owner, then the target. */
function mostComplete(situation: Situation, task: string, target: Candidate): Candidate {
  const owner = situation.owners.get(task);
  let best = owner ?? target;
  for (const candidate of [target, ...situation.candidates])
    if (lagOf(situation, candidate, task) < lagOf(situation, best, task)) best = candidate;
  return best;
}

// ---- who keeps what warm -----------------------------------------------------------------------------------------------

/**
 * The standbys of each stateful task, never where it runs, as many as wished and members allow: first where they are, or where the state is, then where
 * fewest are. Shares of standbys are even as far as that leaves a choice.
 */
export function placeStandbys(
  situation: Situation,
  active: ReadonlyMap<string, Candidate>,
): ReadonlyMap<Candidate, ReadonlySet<string>> {
  const { candidates, ends, limits } = situation;
  const placed = new Map<Candidate, Set<string>>(candidates.map((candidate) => [candidate, new Set()]));
  const wanted = Math.min(limits.standbys, candidates.length - 1);
  if (wanted <= 0) return placed;
  const tasks = spread(situation.tasks).filter((task) => ends.has(task));
  const left = new Map(tasks.map((task) => [task, wanted]));
  const share = Math.ceil((tasks.length * wanted) / candidates.length);
  const place = (task: string, candidate: Candidate, isBounded: boolean): void => {
    const own = placed.get(candidate);
    const missing = left.get(task) ?? 0;
    if (own === undefined || missing === 0 || active.get(task) === candidate || own.has(task)) return;
    if (isBounded && own.size >= share) return;
    own.add(task);
    left.set(task, missing - 1);
  };
  for (const isKept of [isStandbyOf, hasState])
    for (const task of tasks)
      for (const candidate of byLag(situation, task))
        if (isKept(situation, candidate, task)) place(task, candidate, true);
  const sizeOf = (candidate: Candidate): number => placed.get(candidate)?.size ?? 0;
  for (const isBounded of [true, false])
    for (const task of tasks)
      for (const candidate of [...candidates].sort((a, b) => sizeOf(a) - sizeOf(b))) place(task, candidate, isBounded);
  return placed;
}

/** It follows the changelog already, or did more than that: what it runs and gives away is as good as a standby. */
function isStandbyOf({ owners }: Situation, candidate: Candidate, task: string): boolean {
  return candidate.claims.standbyTasks.includes(task) || owners.get(task) === candidate;
}

function byLag(situation: Situation, task: string): readonly Candidate[] {
  return [...situation.candidates].sort((a, b) => lagOf(situation, a, task) - lagOf(situation, b, task));
}

// ---- names of tasks ----------------------------------------------------------------------------------------------------

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

export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
