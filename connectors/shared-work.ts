/** Work that exactly one of many processes does at a time: shards spread over the members of a group, taken over when a member goes away. */
import type { Clock, Logger } from '../clock.ts';
import type { StreamError } from '../errors.ts';
import type { Assignment, GroupListener, JoinedMember, Log, Member } from './log.ts';
import { assignShards, decodeShards, encodeShards } from './shard-assignment.ts';

export interface SharedWorkOptions {
  readonly log: Pick<Log, 'member'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly groupId: string;
  /** Named in the subscription, for tools that list groups. */
  readonly topics: readonly string[];
  /** The same in every process. */
  readonly shards: readonly string[];
  /**
   * Does one shard's work until `signal` aborts, and then ends soon: nobody else gets the shard before. When it rejects or ends early it is called
   * again after a while.
   *
   * A member that lost its place without noticing may overlap with its successor for a moment: whoever needs more must fence (a transactional id, an
   * epoch in a database).
   */
  readonly run: (shard: string, signal: AbortSignal) => Promise<void>;
  readonly sessionTimeoutMs?: number;
  readonly heartbeatIntervalMs?: number;
}

interface Running {
  readonly controller: AbortController;
  readonly ended: Promise<void>;
}

const defaults = { sessionTimeoutMs: 45_000, heartbeatIntervalMs: 3_000, rebalanceTimeoutMs: 60_000 } as const;
/** Between one failure of a shard and its next start: doubles up to the second. */
const restart = { firstMs: 500, longestMs: 30_000 } as const;

export class SharedWork implements GroupListener {
  readonly #options: SharedWorkOptions;
  readonly #running = new Map<string, Running>();
  readonly #member: Member;
  /** What this member did last, so that it gets it again. */
  #last: readonly string[] = [];
  #isClosing = false;

  constructor(options: SharedWorkOptions) {
    this.#options = options;
    const { sessionTimeoutMs, heartbeatIntervalMs, rebalanceTimeoutMs } = { ...defaults, ...options };
    this.#member = options.log.member(
      {
        groupId: options.groupId,
        topics: options.topics,
        protocol: 'rivulet-work',
        sessionTimeoutMs,
        rebalanceTimeoutMs,
        heartbeatIntervalMs,
      },
      this,
    );
  }

  /** Shards whose work is done here now. */
  get owned(): readonly string[] {
    return [...this.#running.keys()];
  }

  /** Joins, and goes on until `close`. */
  start(): void {
    this.#member.start();
  }

  /** Ends all work here, then leaves, so that others take over at once. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#stop();
    await this.#member.leave();
  }

  async joining(): Promise<Uint8Array> {
    await this.#stop();
    return encodeShards(this.#last);
  }

  async assign(members: readonly JoinedMember[]): Promise<ReadonlyMap<string, Uint8Array>> {
    const claims = members.map(({ memberId, userData }) => ({ memberId, shards: decodeShards(userData) }));
    const assigned = assignShards(this.#options.shards, claims);
    return new Map([...assigned].map(([memberId, shards]) => [memberId, encodeShards(shards)]));
  }

  async assigned({ userData }: Assignment): Promise<void> {
    await this.#stop();
    const shards = decodeShards(userData) ?? [];
    this.#last = shards;
    if (this.#isClosing) return;
    this.#options.logger.info('work assigned', { group: this.#options.groupId, shards });
    for (const shard of shards) {
      const controller = new AbortController();
      this.#running.set(shard, { controller, ended: this.#keepRunning(shard, controller.signal) });
    }
  }

  async lost(error: StreamError): Promise<void> {
    this.#options.logger.warn('work lost', { group: this.#options.groupId, code: error.code });
    await this.#stop();
  }

  async #stop(): Promise<void> {
    const running = [...this.#running.values()];
    for (const { controller } of running) controller.abort();
    await Promise.all(running.map(({ ended }) => ended));
    this.#running.clear();
  }

  async #keepRunning(shard: string, signal: AbortSignal): Promise<void> {
    const { run, clock, logger, groupId } = this.#options;
    let waitMs: number = restart.firstMs;
    while (!signal.aborted) {
      const startedMs = clock.monotonicMs();
      try {
        await run(shard, signal);
      } catch (error) {
        logger.warn('work failed; it starts again unless it was ended', { group: groupId, shard, error });
      }
      if (clock.monotonicMs() - startedMs > restart.longestMs) waitMs = restart.firstMs;
      await clock.sleep(waitMs, signal);
      waitMs = Math.min(waitMs * 2, restart.longestMs);
    }
  }
}
