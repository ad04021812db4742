/** One member's part in its group: what it says of itself, who gets what when it leads, and the way from one assignment to the next. */
import type { Timer } from '../../clock.ts';
import type { Assignment, GroupListener, JoinedMember, Member } from '../../connectors/log.ts';
import { assert, hasCode } from '../../errors.ts';
import type { StreamError } from '../../errors.ts';
import { decodeAssignment, noAssignment } from './assignment.ts';
import type { AssignmentData } from './assignment.ts';
import type { Commits } from './commits.ts';
import { assignMembers, describeMember, refusalError } from './group-data.ts';
import type { Holdings } from './holdings.ts';
import type { ResolvedOptions } from './options.ts';
import type { Exclusive } from './signal.ts';

export interface MembershipScope {
  readonly options: ResolvedOptions;
  readonly commits: Commits;
  readonly transactionalId: string | undefined;
  /** Changes of what is owned come one after the other. */
  readonly exclusive: Exclusive;
  isClosing(): boolean;
  /** Everything is about to be opened again: nothing may be committed. */
  hasFailed(): boolean;
  failed(error: unknown): void;
  /** Membership was lost and all is closed: a fresh producer, and what had failed before counts no more. */
  renew(): Promise<void>;
  /** Why the leader gives nothing on purpose; `undefined` when it does not. */
  refused(error: StreamError | undefined): void;
  /** What is owned changed. */
  changed(): void;
}

const protocolName = 'rivulet';
/** Shortest time between two rebalances that are asked for because a warm-up has caught up. */
const warmUpGapMs = 2_000;

export class Membership implements GroupListener {
  /** As last received. */
  assignment: AssignmentData | undefined;
  isMember = false;
  rebalances = 0;

  readonly #scope: MembershipScope;
  readonly #startedAtMs: number;
  #holdings: Holdings | undefined;
  #member: Member | undefined;
  #generation = -1;
  /** On a leader that left tasks where they do not belong. */
  #probe: Timer | undefined;
  #warmedUpMs = -Infinity;

  constructor(scope: MembershipScope) {
    this.#scope = scope;
    this.#startedAtMs = scope.options.host.clock.nowMs();
  }

  get member(): Member | undefined {
    return this.#member;
  }

  /** Starts joining, and keeps on until `leave`. */
  join(holdings: Holdings): void {
    const { options } = this.#scope;
    const { host, applicationId, sessionTimeoutMs, rebalanceTimeoutMs, heartbeatIntervalMs } = options;
    this.#holdings = holdings;
    const topics = [...new Set(holdings.prepared.plan.subTopologies.flatMap((sub) => sub.sourceTopics))];
    this.#member = host.log.member(
      {
        groupId: applicationId,
        protocol: protocolName,
        topics,
        sessionTimeoutMs,
        rebalanceTimeoutMs,
        heartbeatIntervalMs,
        ...(options.staticMembership ? { instanceId: options.instanceId } : {}),
      },
      this,
    );
    this.#member.start();
  }

  /** A static member keeps its place, unless it leaves for good. */
  async leave(isForGood: boolean): Promise<void> {
    this.#probe?.cancel();
    await this.#member?.leave({ permanently: isForGood });
  }

  /** A task that is to move here could do so now. */
  warmedUp(): void {
    const nowMs = this.#scope.options.host.clock.monotonicMs();
    if (nowMs - this.#warmedUpMs < warmUpGapMs) return;
    this.#warmedUpMs = nowMs;
    this.#scope.options.host.sometimes('warm-up-complete');
    this.#member?.rejoin('a warm-up has caught up');
  }

  async joining(): Promise<Uint8Array> {
    const { options, commits, exclusive, transactionalId } = this.#scope;
    return await exclusive.run(async () => {
      commits.isAllowed = false;
      await commits.settled();
      return describeMember(options, {
        startedAtMs: this.#startedAtMs,
        generation: this.#generation,
        ownedTasks: this.#holdings?.tasks.ids ?? [],
        standbyTasks: [...(this.#holdings?.standbys.tasks.keys() ?? [])],
        positions: this.#positions(),
        fingerprint: this.#holdings?.prepared.fingerprint ?? '',
        transactionalId,
      });
    });
  }

  async assign(members: readonly JoinedMember[]): Promise<ReadonlyMap<string, Uint8Array>> {
    assert(this.#holdings !== undefined, 'a member that joined was prepared');
    const { options } = this.#scope;
    const { prepared } = this.#holdings;
    const { userData, misplacedCount } = await assignMembers(options, prepared, { members, last: this.assignment });
    this.#probe?.cancel();
    this.#probe = undefined;
    if (misplacedCount > 0)
      this.#probe = options.host.clock.timer(options.probingRebalanceIntervalMs, () => {
        this.#member?.rejoin('looking whether tasks can move to where they belong');
      });
    return userData;
  }

  async assigned(assignment: Assignment): Promise<void> {
    const { commits, exclusive } = this.#scope;
    await exclusive.run(async () => {
      const data = decodeAssignment(assignment.userData) ?? noAssignment;
      this.rebalances += 1;
      this.#generation = assignment.generation;
      this.assignment = data;
      this.isMember = true;
      this.#noteRefusal(data);
      if (this.#holdings !== undefined && !this.#scope.isClosing()) await this.#adopt(this.#holdings, data);
      commits.isAllowed = true;
      this.#scope.changed();
    });
  }

  async lost(error: StreamError): Promise<void> {
    const { options, commits, exclusive } = this.#scope;
    await exclusive.run(async () => {
      options.host.logger.warn('membership lost', { code: error.code, error: error.message });
      options.host.sometimes('membership-lost');
      commits.isAllowed = false;
      await commits.settled();
      await this.#holdings?.tasks.closeAll();
      this.isMember = false;
      this.#generation = -1;
      this.#scope.changed();
      // A fresh producer would only fence that of the other instance.
      if (!hasCode(error, 'INSTANCE_ID_TAKEN')) await this.#scope.renew();
      if (error.retry !== 'after-rejoin') this.#scope.failed(error);
    });
  }

  async #adopt(holdings: Holdings, { tasks: wanted, standbyTasks, warmUpTasks }: AssignmentData): Promise<void> {
    const { tasks, standbys } = holdings;
    const released = tasks.ids.filter((id) => !wanted.includes(id));
    this.#scope.options.host.logger.info('assigned', {
      generation: this.#generation,
      tasks: wanted.length,
      released: released.length,
      standbys: standbyTasks.length,
      warmUps: warmUpTasks.length,
    });
    if (released.length > 0) await this.#release(holdings, released, standbyTasks);
    // A standby that is to run is taken over with its stores.
    await standbys.keepOnly([...wanted, ...standbyTasks]);
    if (this.#scope.hasFailed()) return;
    for (const id of wanted) tasks.open(id);
    for (const id of standbyTasks) standbys.open(id);
    standbys.markWarmUps(warmUpTasks);
  }

  /**
   * Hands tasks over: commits what they did, closes them, and asks for the rebalance that gives them to their new owners. Those that stay here as standbys
   * keep their stores open.
   */
  async #release({ tasks, standbys }: Holdings, released: readonly string[], kept: readonly string[]): Promise<void> {
    const { commits } = this.#scope;
    // What they would do from here on could not be told from what the next commit is to hold.
    tasks.suspend(released);
    try {
      await commits.settled();
      if (!this.#scope.hasFailed()) await commits.now();
    } catch (error) {
      // All is about to be opened again; but these must get away.
      this.#scope.failed(error);
    }
    const isClean = !this.#scope.hasFailed();
    for (const id of released) {
      if (isClean && kept.includes(id)) standbys.open(id, await tasks.demote(id));
      else await tasks.close(id);
    }
    this.#member?.rejoin('tasks released');
  }

  /** Of all tasks of which there is some state here, but not of those that run: they have everything. */
  #positions(): ReadonlyMap<string, number> {
    const positions = new Map<string, number>();
    if (this.#holdings === undefined) return positions;
    const { tasks, standbys, stored } = this.#holdings;
    for (const source of [stored.positions(), tasks.positions(), standbys.positions()])
      for (const [taskId, position] of source) positions.set(taskId, Math.max(position, positions.get(taskId) ?? 0));
    for (const taskId of tasks.running.keys()) positions.delete(taskId);
    return positions;
  }

  #noteRefusal({ refusal }: AssignmentData): void {
    const { options } = this.#scope;
    if (refusal === undefined) {
      this.#scope.refused(undefined);
      return;
    }
    const error = refusalError(refusal, options.instanceId);
    this.#scope.refused(error);
    options.host.logger.error(error.message, error.facts);
  }
}
