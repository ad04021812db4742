/** A member of a classic group: joins, keeps its session alive, and joins again whenever it must, until it leaves. */
import { hasCode, StreamError } from '../../errors.ts';
import type {
  Assignment,
  GroupListener,
  GroupMetadata,
  GroupOptions,
  JoinedMember,
  Member,
  OffsetToCommit,
} from '../log.ts';
import { Connections, type Cluster } from './cluster.ts';
import type { Request } from './connection.ts';
import { decodeAssignment, decodeSubscription, encodeAssignment, encodeSubscription } from './consumer-protocol.ts';
import { joinGroupRequest, leaveGroupRequest, syncGroupRequest, type JoinAnswer } from './group-requests.ts';
import { Heartbeat } from './heartbeat.ts';
import { attemptAgain, isKafkaError } from './kafka-errors.ts';
import { leaveTimeoutMs, rejoinBackoffMs } from './limits.ts';
import { offsetCommitRequest } from './offset-requests.ts';
import { backoff } from './retry.ts';

const noMember = '';
const noGeneration = -1;

export class KafkaMember implements Member {
  readonly #cluster: Cluster;
  readonly #options: GroupOptions;
  readonly #listener: GroupListener;
  /** JoinGroup and SyncGroup are held back by the broker: heartbeats and commits must not wait behind them. */
  readonly #joinConnections: Connections;
  readonly #connections: Connections;
  readonly #heartbeat: Heartbeat;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #isInListener = false;
  #memberId = noMember;
  #current: GroupMetadata | undefined;
  /** Why the next rebalance is due; the first one is. */
  #due: string | undefined = 'start';
  #isAskedFor = false;
  #lost: StreamError | undefined;
  #wake: (() => void) | undefined;

  constructor(cluster: Cluster, options: GroupOptions, listener: GroupListener) {
    this.#cluster = cluster;
    this.#options = options;
    this.#listener = listener;
    this.#joinConnections = new Connections(cluster);
    this.#connections = new Connections(cluster);
    const beats = {
      intervalMs: options.heartbeatIntervalMs,
      answerMs: Math.min(cluster.options.requestTimeoutMs, options.sessionTimeoutMs / 2),
    };
    this.#heartbeat = new Heartbeat(cluster, this.#connections, beats, {
      rebalancing: () => {
        this.#dueFor('the group rebalances');
      },
      expelled: (error) => {
        this.#lost = error;
        this.#wake?.();
      },
    });
  }

  get current(): GroupMetadata | undefined {
    return this.#current;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  rejoin(reason: string): void {
    this.#isAskedFor = true;
    this.#dueFor(reason);
  }

  async commit(offsets: readonly OffsetToCommit[]): Promise<void> {
    const member = this.#current;
    if (member === undefined)
      throw new StreamError('MEMBER_FENCED', 'not a member of the group', {
        facts: { groupId: this.#options.groupId },
      });
    if (offsets.length === 0) return;
    const request = offsetCommitRequest(member, offsets);
    const at = { kind: 'group', key: this.#options.groupId, connections: this.#connections } as const;
    await this.#cluster.onCoordinator(at, (connection) => connection.request(request));
  }

  async leave(options: { readonly permanently?: boolean } = {}): Promise<void> {
    this.#stopping.abort();
    this.#wake?.();
    this.#heartbeat.stop();
    await this.#joinConnections.close();
    // The owner may be leaving from inside a call of ours: that one must not wait for itself.
    if (!this.#isInListener) await this.#running;
    if (this.#options.instanceId === undefined || options.permanently === true) await this.#sayGoodbye();
    this.#current = undefined;
    await this.#connections.close();
  }

  // ---- the loop -----------------------------------------------------------------------------------------------------

  #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  #whyLost(): StreamError | undefined {
    return this.#lost;
  }

  #dueFor(reason: string): void {
    this.#due = reason;
    this.#wake?.();
  }

  async #run(): Promise<void> {
    for (let failureCount = 0; !this.#isStopping();) {
      try {
        await this.#untilDue();
        await this.#rebalance();
        failureCount = 0;
      } catch (error) {
        if (this.#isStopping() || hasCode(error, 'LOG_CLOSED')) return;
        this.#failed(error);
        const waitMs = hasCode(error, 'REBALANCE_IN_PROGRESS')
          ? 0
          : backoff(this.#cluster.deps.random, rejoinBackoffMs, failureCount);
        failureCount += 1;
        await this.#cluster.deps.clock.sleep(waitMs, this.#stopping.signal);
      }
    }
  }

  async #untilDue(): Promise<void> {
    while (!this.#isStopping() && this.#due === undefined && this.#lost === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }

  /** Decides what a failure in the loop means; the loop itself goes on. */
  #failed(error: unknown): void {
    const { logger } = this.#cluster.deps;
    const { groupId } = this.#options;
    this.#due ??= 'the rebalance failed';
    if (hasCode(error, 'REBALANCE_IN_PROGRESS')) return;
    if (attemptAgain(error) !== undefined) {
      logger.warn('group member tries again', { groupId, error });
      if (attemptAgain(error) === 'moved') this.#cluster.forgetCoordinator('group', groupId);
      return;
    }
    logger.warn('group member failed', { groupId, error });
    if (error instanceof StreamError) this.#lost = error;
  }

  async #rebalance(): Promise<void> {
    if (this.#isStopping()) return;
    await this.#giveUpIfLost();
    const userData = await this.#call(() => this.#listener.joining());
    // Expelled meanwhile: joining under the old name would only be refused.
    await this.#giveUpIfLost();
    if (this.#isStopping()) return;

    const answer = await this.#join(userData);
    const member: GroupMetadata = {
      groupId: this.#options.groupId,
      memberId: answer.memberId,
      generation: answer.generation,
      ...(this.#options.instanceId === undefined ? {} : { instanceId: this.#options.instanceId }),
    };
    this.#heartbeat.start(member);
    const isLeader = answer.leaderId === answer.memberId;
    const assignments = isLeader && !answer.skipsAssignment ? await this.#assign(answer) : new Map<string, Buffer>();
    if (this.#isStopping() || this.#whyLost() !== undefined) return;
    const timeoutMs = this.#options.rebalanceTimeoutMs + this.#cluster.options.requestTimeoutMs;
    const own = await this.#send(syncGroupRequest(member, assignments, timeoutMs));
    await this.#accept(member, { isLeader, userData: decodeAssignment(own) });
  }

  async #accept(member: GroupMetadata, assigned: Pick<Assignment, 'isLeader' | 'userData'>): Promise<void> {
    if (this.#isStopping()) return;
    this.#current = member;
    const { memberId, generation } = member;
    await this.#call(() => this.#listener.assigned({ memberId, generation, ...assigned }));
  }

  async #giveUpIfLost(): Promise<void> {
    const error = this.#lost;
    if (error === undefined) return;
    this.#heartbeat.stop();
    this.#lost = undefined;
    this.#due ??= 'membership was lost';
    this.#current = undefined;
    // A member of a bygone generation is still a member.
    if (hasCode(error, 'MEMBER_FENCED') && !isKafkaError(error, 'ILLEGAL_GENERATION')) this.#memberId = noMember;
    // The other one of this name would be expelled in turn: two of them would do nothing else.
    const isTaken = isKafkaError(error, 'FENCED_INSTANCE_ID');
    if (isTaken) this.#stopping.abort();
    await this.#call(() => this.#listener.lost(isTaken ? instanceTaken(this.#options, error) : error));
  }

  /** No two calls of the owner overlap, and it is known when one runs. */
  async #call<T>(run: () => Promise<T>): Promise<T> {
    this.#isInListener = true;
    try {
      return await run();
    } finally {
      this.#isInListener = false;
    }
  }

  // ---- joining ------------------------------------------------------------------------------------------------------

  async #join(userData: Uint8Array): Promise<JoinAnswer> {
    const reason = this.#due ?? 'again';
    // Only a change of what a member says makes the coordinator rebalance for a follower's sake.
    const generation = this.#isAskedFor ? (this.#current?.generation ?? noGeneration) : noGeneration;
    const metadata = encodeSubscription(this.#options.topics, userData, generation);
    this.#due = undefined;
    this.#isAskedFor = false;
    this.#heartbeat.stop();
    const answer = await this.#sendJoin(metadata, reason);
    if (!answer.memberIdRequired) return answer;
    return this.#sendJoin(metadata, reason);
  }

  async #sendJoin(metadata: Buffer, reason: string): Promise<JoinAnswer> {
    const answerMs = this.#cluster.options.requestTimeoutMs;
    const member = { memberId: this.#memberId, metadata, reason, answerMs };
    const answer = await this.#send(joinGroupRequest(this.#options, member));
    this.#memberId = answer.memberId;
    return answer;
  }

  async #send<T>(request: Request<T>): Promise<T> {
    const address = await this.#cluster.coordinator('group', this.#options.groupId);
    const connection = await this.#joinConnections.get(address);
    return connection.request(request);
  }

  async #assign({ members }: JoinAnswer): Promise<ReadonlyMap<string, Buffer>> {
    const joined = members.map(({ memberId, instanceId, metadata }): JoinedMember => {
      const subscription = decodeSubscription(metadata);
      return { memberId, ...subscription, ...(instanceId === undefined ? {} : { instanceId }) };
    });
    const assigned = await this.#call(() => this.#listener.assign(joined));
    return new Map(joined.map(({ memberId }) => [memberId, encodeAssignment(assigned.get(memberId) ?? noBytes)]));
  }

  /** A courtesy, in bounded time: the session would expire by itself. */
  async #sayGoodbye(): Promise<void> {
    const { groupId, instanceId } = this.#options;
    if (this.#memberId === noMember && instanceId === undefined) return;
    const { clock, logger } = this.#cluster.deps;
    const enough = new AbortController();
    const leaving = this.#leaveGroup({ groupId, memberId: instanceId === undefined ? this.#memberId : '', instanceId });
    try {
      await Promise.race([leaving, clock.sleep(leaveTimeoutMs, enough.signal)]);
    } catch (error) {
      logger.debug('group was not left', { groupId, error });
    } finally {
      enough.abort();
      leaving.catch(() => undefined);
    }
  }

  async #leaveGroup(member: { groupId: string; memberId: string; instanceId: string | undefined }): Promise<void> {
    const { instanceId, ...rest } = member;
    const connection = await this.#connections.get(await this.#cluster.coordinator('group', member.groupId));
    await connection.request(leaveGroupRequest({ ...rest, ...(instanceId === undefined ? {} : { instanceId }) }));
  }
}

function instanceTaken({ groupId, instanceId }: GroupOptions, cause: StreamError): StreamError {
  const facts = { groupId, instanceId };
  return new StreamError('INSTANCE_ID_TAKEN', 'another member has joined under this instance id', { facts, cause });
}

const noBytes = new Uint8Array(0);
