/** One member's part in its group: what it says of itself, who gets what when it leads, and the way from one assignment to the next. */
import type { Assignment, GroupListener, JoinedMember, Member } from '../../connectors/log.ts';
import { assert } from '../../errors.ts';
import type { StreamError } from '../../errors.ts';
import { decodeAssignment } from './assignment.ts';
import type { AssignmentData } from './assignment.ts';
import type { Commits } from './commits.ts';
import { assignMembers, describeMember, refusalError } from './group-data.ts';
import type { ResolvedOptions } from './options.ts';
import type { Prepared } from './prepare.ts';
import type { Exclusive } from './signal.ts';
import type { TaskSet } from './task-set.ts';

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

export class Membership implements GroupListener {
  /** As last received. */
  assignment: AssignmentData | undefined;
  isMember = false;
  rebalances = 0;

  readonly #scope: MembershipScope;
  readonly #startedAtMs: number;
  #joined: { readonly prepared: Prepared; readonly tasks: TaskSet } | undefined;
  #member: Member | undefined;
  #generation = -1;

  constructor(scope: MembershipScope) {
    this.#scope = scope;
    this.#startedAtMs = scope.options.host.clock.nowMs();
  }

  get member(): Member | undefined {
    return this.#member;
  }

  /** Starts joining, and keeps on until `leave`. */
  join(prepared: Prepared, tasks: TaskSet): void {
    const { host, applicationId, sessionTimeoutMs, rebalanceTimeoutMs, heartbeatIntervalMs } = this.#scope.options;
    this.#joined = { prepared, tasks };
    const topics = [...new Set(prepared.plan.subTopologies.flatMap((sub) => sub.sourceTopics))];
    this.#member = host.log.member(
      {
        groupId: applicationId,
        protocol: protocolName,
        topics,
        sessionTimeoutMs,
        rebalanceTimeoutMs,
        heartbeatIntervalMs,
      },
      this,
    );
    this.#member.start();
  }

  async leave(): Promise<void> {
    await this.#member?.leave();
  }

  async joining(): Promise<Uint8Array> {
    const { options, commits, exclusive, transactionalId } = this.#scope;
    return await exclusive.run(async () => {
      commits.isAllowed = false;
      await commits.settled();
      return await describeMember(options, {
        startedAtMs: this.#startedAtMs,
        generation: this.#generation,
        ownedTasks: this.#joined?.tasks.ids ?? [],
        fingerprint: this.#joined?.prepared.fingerprint ?? '',
        transactionalId,
      });
    });
  }

  assign(members: readonly JoinedMember[]): Promise<ReadonlyMap<string, Uint8Array>> {
    assert(this.#joined !== undefined, 'a member that joined was prepared');
    return Promise.resolve(assignMembers(members, this.#joined.prepared, this.assignment));
  }

  async assigned(assignment: Assignment): Promise<void> {
    const { commits, exclusive } = this.#scope;
    await exclusive.run(async () => {
      const data = decodeAssignment(assignment.userData) ?? { tasks: [], peers: [], deadTransactionalIds: [] };
      this.rebalances += 1;
      this.#generation = assignment.generation;
      this.assignment = data;
      this.isMember = true;
      this.#noteRefusal(data);
      if (this.#joined !== undefined && !this.#scope.isClosing()) await this.#adopt(this.#joined.tasks, data.tasks);
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
      await this.#joined?.tasks.closeAll();
      this.isMember = false;
      this.#generation = -1;
      this.#scope.changed();
      await this.#scope.renew();
      if (error.retry !== 'after-rejoin') this.#scope.failed(error);
    });
  }

  async #adopt(tasks: TaskSet, wanted: readonly string[]): Promise<void> {
    const released = tasks.ids.filter((id) => !wanted.includes(id));
    this.#scope.options.host.logger.info('assigned', {
      generation: this.#generation,
      tasks: wanted.length,
      released: released.length,
    });
    if (released.length > 0) await this.#release(tasks, released);
    if (!this.#scope.hasFailed()) for (const id of wanted) tasks.open(id);
  }

  /** Hands tasks over: commits what they did, closes them, and asks for the rebalance that gives them to their new owners. */
  async #release(tasks: TaskSet, released: readonly string[]): Promise<void> {
    const { commits } = this.#scope;
    // What they would do from here on could not be told from what the next commit is to hold.
    tasks.suspend(released);
    try {
      await commits.settled();
      if (!this.#scope.hasFailed()) await commits.now();
    } catch (error) {
      this.#scope.failed(error);
      return;
    }
    for (const id of released) await tasks.close(id);
    this.#member?.rejoin('tasks released');
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
