import type { Timer } from '../../clock.ts';
import { assert, hasCode, StreamError } from '../../errors.ts';
import type { GroupListener, GroupMetadata, GroupOptions, Member, OffsetToCommit } from '../log.ts';
import type { Connection } from './connection.ts';
import { storedOffsets } from './embedded-admin.ts';

/** After a failed attempt to join. */
const backoffMs = 100;

/** One member: a loop of rebalances that calls the listener, and heartbeats beside it. */
export class EmbeddedMember implements Member {
  readonly #connection: Connection;
  readonly #options: GroupOptions;
  readonly #listener: GroupListener;
  readonly #forget: () => void;
  /** As the log knows it, from the answer to a join on. */
  #metadata: GroupMetadata | undefined;
  /** As `#metadata`, from the assignment on. */
  #current: GroupMetadata | undefined;
  #state: 'new' | 'running' | 'stopped' = 'new';
  #loss: StreamError | undefined;
  /** The owner asked for a rebalance. */
  #isRejoinAsked = false;
  /** The log said that one is under way. */
  #isRebalanceSeen = false;
  #isJoining = false;
  #heartbeat: Timer | undefined;
  #wake: (() => void) | undefined;

  constructor(connection: Connection, options: GroupOptions, listener: GroupListener) {
    this.#connection = connection;
    this.#options = options;
    this.#listener = listener;
    this.#forget = connection.onClose(() => {
      this.#stop();
    });
  }

  get current(): GroupMetadata | undefined {
    return this.#current;
  }

  start(): void {
    assert(this.#state === 'new', 'a member is started once');
    this.#state = 'running';
    this.#scheduleHeartbeat();
    // Ends by itself after `leave` or the client's `close`; it catches everything.
    void this.#run();
  }

  rejoin(_reason: string): void {
    this.#isRejoinAsked = true;
    this.#wake?.();
  }

  async commit(offsets: readonly OffsetToCommit[]): Promise<void> {
    const current = this.#current;
    if (current === undefined)
      throw new StreamError('MEMBER_FENCED', `not a member of ${this.#options.groupId}`, {
        facts: { groupId: this.#options.groupId },
      });
    const { broker } = this.#connection;
    await this.#connection.request('commit', () => {
      broker.groups.checkCommit(current);
      broker.commitOffsets(current.groupId, storedOffsets(broker, offsets));
    });
  }

  async leave(options: { readonly permanently?: boolean } = {}): Promise<void> {
    if (this.#state === 'stopped') return;
    const isLeft = this.#options.instanceId === undefined || options.permanently === true;
    this.#stop();
    if (isLeft) await this.#leaveGroup();
  }

  #stop(): void {
    this.#state = 'stopped';
    this.#current = undefined;
    this.#heartbeat?.cancel();
    this.#forget();
    this.#wake?.();
  }

  async #leaveGroup(): Promise<void> {
    const metadata = this.#metadata;
    this.#metadata = undefined;
    if (metadata === undefined) return;
    const { broker, isClosed } = this.#connection;
    if (isClosed) return;
    try {
      await this.#connection.request('leave', () => {
        broker.groups.leave(metadata.groupId, metadata.memberId);
      });
    } catch (error) {
      // The session timeout does it then.
      broker.logger.debug('a member could not leave', { groupId: metadata.groupId, error });
    }
  }

  async #run(): Promise<void> {
    while (this.#state === 'running') {
      try {
        if (this.#loss !== undefined) await this.#lose(this.#loss);
        else {
          await this.#rebalance();
          await this.#untilRejoin();
        }
      } catch (error) {
        await this.#conclude(error);
      }
    }
  }

  async #lose(error: StreamError): Promise<void> {
    this.#loss = undefined;
    this.#metadata = undefined;
    this.#current = undefined;
    await this.#listener.lost(error);
    if (error.code === 'INSTANCE_ID_TAKEN') this.#stop();
  }

  async #rebalance(): Promise<void> {
    this.#isRejoinAsked = false;
    const userData = await this.#listener.joining();
    this.#checkRunning();
    const { metadata, members } = await this.#join(userData);
    this.#metadata = metadata;
    if (!this.#isRunning) return this.#leaveLate();
    const assignments = members && (await this.#listener.assign(members));
    this.#checkRunning();
    const { groups } = this.#connection.broker;
    const assigned = await this.#connection.request('sync', () => groups.sync(metadata, assignments));
    this.#checkRunning();
    this.#current = metadata;
    const { memberId, generation } = metadata;
    await this.#listener.assigned({ memberId, generation, isLeader: members !== undefined, userData: assigned });
  }

  async #join(userData: Uint8Array) {
    const { groupId, instanceId, protocol, topics, sessionTimeoutMs, rebalanceTimeoutMs } = this.#options;
    const memberId = this.#metadata?.memberId ?? '';
    const timeouts = { sessionTimeoutMs, rebalanceTimeoutMs };
    const { broker } = this.#connection;
    this.#isJoining = true;
    this.#isRebalanceSeen = false;
    try {
      const joined = await this.#connection.request('join', () => {
        broker.checkOpen();
        return broker.groups.join({ groupId, memberId, instanceId, protocol, topics, userData, ...timeouts });
      });
      const metadata: GroupMetadata = {
        groupId,
        memberId: joined.memberId,
        generation: joined.generation,
        ...(instanceId === undefined ? {} : { instanceId }),
      };
      return { metadata, members: joined.members };
    } finally {
      this.#isJoining = false;
    }
  }

  /** `leave` was called while the join was under way. */
  async #leaveLate(): Promise<void> {
    if (this.#options.instanceId === undefined) await this.#leaveGroup();
  }

  async #untilRejoin(): Promise<void> {
    while (this.#isRunning && !this.#isRejoinAsked && !this.#isRebalanceSeen && this.#loss === undefined)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    this.#wake = undefined;
  }

  async #conclude(error: unknown): Promise<void> {
    const { clock, broker } = this.#connection;
    if (hasCode(error, 'REBALANCE_IN_PROGRESS')) return;
    if (hasCode(error, 'LOG_CLOSED')) this.#stop();
    else if (hasCode(error, 'MEMBER_FENCED', 'INSTANCE_ID_TAKEN')) this.#loss = error;
    else {
      broker.logger.warn('joining a group failed', { groupId: this.#options.groupId, error });
      await clock.sleep(backoffMs);
    }
  }

  get #isRunning(): boolean {
    return this.#state === 'running';
  }

  /** Between any two steps of a rebalance: the membership may be gone. */
  #checkRunning(): void {
    if (this.#loss !== undefined) throw this.#loss;
    if (!this.#isRunning) throw new StreamError('LOG_CLOSED', 'the member has left');
  }

  // ---- heartbeats ---------------------------------------------------------------------------------------------------

  #scheduleHeartbeat(): void {
    this.#heartbeat = this.#connection.clock.timer(this.#options.heartbeatIntervalMs, () => {
      void this.#beat().finally(() => {
        if (this.#isRunning) this.#scheduleHeartbeat();
      });
    });
  }

  async #beat(): Promise<void> {
    const metadata = this.#metadata;
    if (metadata === undefined || this.#isJoining || this.#loss !== undefined) return;
    const { broker } = this.#connection;
    try {
      await this.#connection.request('heartbeat', () => {
        broker.groups.heartbeat(metadata);
      });
    } catch (error) {
      this.#notice(metadata, error);
    }
  }

  /** What a heartbeat brought back, unless the member has joined anew since. */
  #notice(sentAs: GroupMetadata, error: unknown): void {
    if (this.#metadata !== sentAs || this.#isJoining) return;
    if (hasCode(error, 'REBALANCE_IN_PROGRESS')) this.#isRebalanceSeen = true;
    else if (hasCode(error, 'MEMBER_FENCED', 'INSTANCE_ID_TAKEN')) {
      this.#loss = error;
      this.#current = undefined;
    } else this.#connection.broker.logger.debug('a heartbeat failed', { groupId: this.#options.groupId, error });
    this.#wake?.();
  }
}
