import type { Assignment, GroupListener, JoinedMember } from '../../../connectors/log.ts';
import type { StreamError } from '../../../errors.ts';
import { eventually } from './log-fixture.ts';

export interface SeenAssignment {
  readonly memberId: string;
  readonly generation: number;
  readonly isLeader: boolean;
  readonly text: string;
}

/** A listener that remembers what it was asked. As a leader it assigns to each member "for" and the member's user data. */
export class Probe implements GroupListener {
  /** What it joins with. */
  userData: string;
  joinings = 0;
  readonly assignments: SeenAssignment[] = [];
  /** What it saw of the group when it was leader, the newest last. */
  readonly groups: (readonly JoinedMember[])[] = [];
  readonly losses: StreamError[] = [];
  /** Whether ever two calls overlapped. */
  overlapped = false;
  /** Awaited in the calls. */
  onJoining: () => Promise<void> = () => Promise.resolve();
  onAssigned: () => Promise<void> = () => Promise.resolve();
  #isBusy = false;

  constructor(userData: string) {
    this.userData = userData;
  }

  get last(): SeenAssignment | undefined {
    return this.assignments.at(-1);
  }

  /** Of the members that the leader saw last. */
  get groupData(): readonly string[] {
    const members = this.groups.at(-1) ?? [];
    return members.map(({ userData }) => textOf(userData)).sort();
  }

  /** Until so many assignments were received in all. */
  async joined(count: number): Promise<SeenAssignment> {
    await eventually(`${this.userData} is assigned ${String(count)} times`, () => this.assignments.length >= count);
    return this.last!;
  }

  async joining(): Promise<Uint8Array> {
    return this.#alone(async () => {
      this.joinings += 1;
      await this.onJoining();
      return Buffer.from(this.userData);
    });
  }

  async assign(members: readonly JoinedMember[]): Promise<ReadonlyMap<string, Uint8Array>> {
    return this.#alone(async () => {
      this.groups.push(members);
      return new Map(members.map(({ memberId, userData }) => [memberId, Buffer.from(`for ${textOf(userData)}`)]));
    });
  }

  async assigned({ memberId, generation, isLeader, userData }: Assignment): Promise<void> {
    return this.#alone(async () => {
      this.assignments.push({ memberId, generation, isLeader, text: textOf(userData) });
      await this.onAssigned();
    });
  }

  async lost(error: StreamError): Promise<void> {
    return this.#alone(async () => {
      this.losses.push(error);
    });
  }

  async #alone<T>(run: () => Promise<T>): Promise<T> {
    this.overlapped ||= this.#isBusy;
    this.#isBusy = true;
    try {
      return await run();
    } finally {
      this.#isBusy = false;
    }
  }
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}
