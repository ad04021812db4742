/** Tells the coordinator at intervals that a member lives, whatever its owner is doing. */
import type { Timer } from '../../clock.ts';
import { hasCode, StreamError } from '../../errors.ts';
import type { GroupMetadata } from '../log.ts';
import type { Cluster, Connections } from './cluster.ts';
import { heartbeatRequest } from './group-requests.ts';
import { attemptAgain } from './kafka-errors.ts';
import { backoffMs } from './limits.ts';

export interface HeartbeatListener {
  rebalancing(): void;
  /** Membership is gone, or heartbeats are refused for good. No further ones are sent. */
  expelled(error: StreamError): void;
}

export interface HeartbeatOptions {
  readonly intervalMs: number;
  /** A beat that is not answered by then is sent on a new connection: the session has not ended yet. */
  readonly answerMs: number;
}

export class Heartbeat {
  readonly #cluster: Cluster;
  readonly #connections: Connections;
  readonly #options: HeartbeatOptions;
  readonly #listener: HeartbeatListener;
  #member: GroupMetadata | undefined;
  #timer: Timer | undefined;
  /** Answers to earlier beats are nobody's concern after a start or stop. */
  #run = 0;

  constructor(cluster: Cluster, connections: Connections, options: HeartbeatOptions, listener: HeartbeatListener) {
    this.#cluster = cluster;
    this.#connections = connections;
    this.#options = options;
    this.#listener = listener;
  }

  start(member: GroupMetadata): void {
    this.stop();
    this.#member = member;
    this.#schedule(this.#options.intervalMs);
  }

  stop(): void {
    this.#run += 1;
    this.#member = undefined;
    this.#timer?.cancel();
  }

  #schedule(ms: number): void {
    const run = this.#run;
    this.#timer = this.#cluster.deps.clock.timer(ms, () => {
      void this.#beat().then((nextMs) => {
        if (run === this.#run && nextMs !== undefined) this.#schedule(nextMs);
      });
    });
  }

  /** Never rejects. Returns when to beat again. */
  async #beat(): Promise<number | undefined> {
    const member = this.#member;
    const run = this.#run;
    if (member === undefined) return undefined;
    try {
      await this.#send(member);
      return this.#options.intervalMs;
    } catch (error) {
      return run === this.#run ? this.#judge(error) : undefined;
    }
  }

  async #send(member: GroupMetadata): Promise<void> {
    const address = await this.#cluster.coordinator('group', member.groupId);
    const connection = await this.#connections.get(address);
    await connection.request(heartbeatRequest(member, this.#options.answerMs));
  }

  #judge(error: unknown): number | undefined {
    if (hasCode(error, 'LOG_CLOSED')) return undefined;
    if (hasCode(error, 'REBALANCE_IN_PROGRESS')) {
      this.#listener.rebalancing();
      return this.#options.intervalMs;
    }
    const again = attemptAgain(error);
    if (again === 'moved' && this.#member !== undefined) this.#cluster.forgetCoordinator('group', this.#member.groupId);
    // Sooner than the interval: much of the session may be spent already.
    if (again !== undefined) return Math.min(this.#options.intervalMs, backoffMs.max);
    this.#listener.expelled(
      error instanceof StreamError ? error : new StreamError('LOG_UNAVAILABLE', 'heartbeats fail', { cause: error }),
    );
    return undefined;
  }
}
