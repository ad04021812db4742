/** Groups of members: Kafka's classic rebalance protocol, for members that speak one protocol each. */
import type { Clock, Logger, Random, Timer } from '../../clock.ts';
import { StreamError } from '../../errors.ts';
import type { GroupMetadata, JoinedMember } from '../log.ts';
import type { Journal } from './journal.ts';

export interface JoinRequest {
  readonly groupId: string;
  /** Empty for a member that has none yet. */
  readonly memberId: string;
  readonly instanceId: string | undefined;
  readonly protocol: string;
  readonly topics: readonly string[];
  readonly userData: Uint8Array;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
}

export interface JoinResponse {
  readonly memberId: string;
  readonly generation: number;
  /** On the leader: everybody. */
  readonly members: readonly JoinedMember[] | undefined;
}

/**
 * `preparing`: waits until every member has joined again. `completing`: waits for the leader's assignment.
 */
type State = 'empty' | 'preparing' | 'completing' | 'stable';

interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: StreamError) => void;
}

interface GroupMember {
  readonly id: string;
  request: JoinRequest;
  assignment: Uint8Array;
  joining: Waiter<JoinResponse> | undefined;
  syncing: Waiter<Uint8Array> | undefined;
  session: Timer | undefined;
}

interface Group {
  readonly id: string;
  state: State;
  generation: number;
  leaderId: string;
  /** In the order in which they came. */
  readonly members: Map<string, GroupMember>;
  /** Of the rebalance under way: who has not joined, or not asked for the assignment, by then is out. */
  timer: Timer | undefined;
}

const noAssignment = new Uint8Array(0);

export interface GroupCoordinatorOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly journal: Journal;
  readonly logger: Logger;
}

export class GroupCoordinator {
  readonly #options: GroupCoordinatorOptions;
  readonly #groups = new Map<string, Group>();

  constructor(options: GroupCoordinatorOptions) {
    this.#options = options;
  }

  /** Resolves when the rebalance that it takes part in, or starts, is complete. Rejects with `MEMBER_FENCED`, `LOG_REFUSED`. */
  async join(request: JoinRequest): Promise<JoinResponse> {
    const group = this.#group(request.groupId);
    checkProtocol(group, request);
    const { member, isReplacement } = this.#admit(group, request);
    if (isReplacement && group.state === 'stable') {
      this.#renewSession(group, member);
      return { memberId: member.id, generation: group.generation, members: undefined };
    }
    member.session?.cancel();
    member.joining?.reject(fenced(request, 'joined again'));
    return new Promise((resolve, reject) => {
      member.joining = { resolve, reject };
      if (group.state === 'preparing') this.#completeIfAllJoined(group);
      else this.#prepare(group);
    });
  }

  /** On the leader with everybody's assignment, on the others without. Rejects with `MEMBER_FENCED`, `REBALANCE_IN_PROGRESS`. */
  async sync(metadata: GroupMetadata, assignments?: ReadonlyMap<string, Uint8Array>): Promise<Uint8Array> {
    const { group, member } = this.#check(metadata);
    this.#renewSession(group, member);
    if (group.state === 'preparing') throw rebalancing(group.id);
    if (group.state === 'stable') return member.assignment;
    const assignment = new Promise<Uint8Array>((resolve, reject) => {
      member.syncing = { resolve, reject };
    });
    if (member.id === group.leaderId) this.#assign(group, assignments ?? new Map());
    return assignment;
  }

  /** Keeps the member alive. Throws `MEMBER_FENCED`, `INSTANCE_ID_TAKEN`, and `REBALANCE_IN_PROGRESS` when it is to join again. */
  heartbeat(metadata: GroupMetadata): void {
    const { groupId, memberId, instanceId } = metadata;
    const group = this.#groups.get(groupId);
    const sameInstance = group && memberOfInstance(group, instanceId);
    if (sameInstance !== undefined && sameInstance.id !== memberId) throw instanceTaken(metadata);
    this.#beat(metadata);
  }

  #beat(metadata: GroupMetadata): void {
    const { group, member } = this.#check(metadata);
    this.#renewSession(group, member);
    if (group.state === 'preparing') throw rebalancing(group.id);
  }

  leave(groupId: string, memberId: string): void {
    const group = this.#groups.get(groupId);
    const member = group?.members.get(memberId);
    if (group !== undefined && member !== undefined) this.#remove(group, member);
  }

  /** Throws `MEMBER_FENCED` unless the member is in the group, in this generation. */
  checkGeneration(metadata: GroupMetadata): void {
    this.#check(metadata);
  }

  /** As `checkGeneration`, and throws `REBALANCE_IN_PROGRESS` between the new generation and its assignment. */
  checkCommit(metadata: GroupMetadata): void {
    const { group, member } = this.#check(metadata);
    if (group.state === 'completing') throw rebalancing(group.id);
    this.#renewSession(group, member);
  }

  hasMembers(groupId: string): boolean {
    return (this.#groups.get(groupId)?.members.size ?? 0) > 0;
  }

  close(): void {
    for (const group of this.#groups.values()) {
      group.timer?.cancel();
      for (const member of group.members.values()) {
        member.session?.cancel();
        const error = new StreamError('LOG_CLOSED', 'the log is closed');
        member.joining?.reject(error);
        member.syncing?.reject(error);
      }
    }
    this.#groups.clear();
  }

  #group(id: string): Group {
    let group = this.#groups.get(id);
    if (group === undefined) {
      const generation = this.#options.journal.metadata.generations.get(id) ?? 0;
      group = { id, state: 'empty', generation, leaderId: '', members: new Map(), timer: undefined };
      this.#groups.set(id, group);
    }
    return group;
  }

  #check(metadata: GroupMetadata): { readonly group: Group; readonly member: GroupMember } {
    const group = this.#groups.get(metadata.groupId);
    const member = group?.members.get(metadata.memberId);
    if (group === undefined || member === undefined) throw fenced(metadata, 'not a member of the group');
    if (member.request.instanceId !== metadata.instanceId) throw fenced(metadata, 'another member has its instance id');
    if (group.generation !== metadata.generation) throw fenced(metadata, `generation is ${group.generation} now`);
    return { group, member };
  }

  /** A new member, a known one, or one of a known instance id that came back and takes the place of the old one. */
  #admit(group: Group, request: JoinRequest): { readonly member: GroupMember; readonly isReplacement: boolean } {
    const { memberId, instanceId } = request;
    const known = group.members.get(memberId);
    const sameInstance = memberOfInstance(group, instanceId);
    if (sameInstance !== undefined && memberId !== '' && memberId !== sameInstance.id) throw instanceTaken(request);
    if (known === undefined && memberId !== '') throw fenced(request, 'not a member of the group');
    if (known !== undefined) {
      known.request = request;
      return { member: known, isReplacement: false };
    }
    const member = this.#newMember(request);
    if (sameInstance !== undefined) takePlace(group, sameInstance, member);
    group.members.set(member.id, member);
    return { member, isReplacement: sameInstance !== undefined };
  }

  #newMember(request: JoinRequest): GroupMember {
    const id = `${request.instanceId ?? request.groupId}-${this.#options.random.uuid()}`;
    return { id, request, assignment: noAssignment, joining: undefined, syncing: undefined, session: undefined };
  }

  #prepare(group: Group): void {
    group.timer?.cancel();
    group.state = 'preparing';
    const members = [...group.members.values()];
    for (const member of members) {
      member.syncing?.reject(rebalancing(group.id));
      member.syncing = undefined;
    }
    const timeoutMs = Math.max(0, ...members.map((member) => member.request.rebalanceTimeoutMs));
    group.timer = this.#options.clock.timer(timeoutMs, () => {
      for (const member of [...group.members.values()]) if (member.joining === undefined) drop(group, member);
      this.#completeIfAllJoined(group);
    });
    this.#completeIfAllJoined(group);
  }

  #completeIfAllJoined(group: Group): void {
    const members = [...group.members.values()];
    if (group.state !== 'preparing' || members.some((member) => member.joining === undefined)) return;
    group.timer?.cancel();
    group.timer = undefined;
    group.generation += 1;
    this.#recordGeneration(group);
    const [first] = members;
    group.state = first === undefined ? 'empty' : 'completing';
    if (first === undefined) {
      this.#groups.delete(group.id);
      return;
    }
    if (!group.members.has(group.leaderId)) group.leaderId = first.id;
    for (const member of members) this.#answerJoin(group, member);
    const timeoutMs = Math.max(...members.map((member) => member.request.rebalanceTimeoutMs));
    group.timer = this.#options.clock.timer(timeoutMs, () => {
      this.#expelUnsynced(group);
    });
  }

  /** Generations should not begin anew when the log is reopened, but members of before are gone then: a failure is no harm. */
  #recordGeneration({ id: groupId, generation }: Group): void {
    try {
      this.#options.journal.record({ type: 'generation', groupId, generation });
    } catch (error) {
      this.#options.logger.warn('the generation of a group could not be recorded', { groupId, generation, error });
    }
  }

  #answerJoin(group: Group, member: GroupMember): void {
    const members = [...group.members.values()].map(({ id, request }) => ({
      memberId: id,
      topics: request.topics,
      userData: request.userData,
      ...(request.instanceId === undefined ? {} : { instanceId: request.instanceId }),
    }));
    member.assignment = noAssignment;
    this.#renewSession(group, member);
    member.joining?.resolve({
      memberId: member.id,
      generation: group.generation,
      members: member.id === group.leaderId ? members : undefined,
    });
    member.joining = undefined;
  }

  #assign(group: Group, assignments: ReadonlyMap<string, Uint8Array>): void {
    group.timer?.cancel();
    group.timer = undefined;
    group.state = 'stable';
    for (const member of group.members.values()) {
      member.assignment = assignments.get(member.id) ?? noAssignment;
      member.syncing?.resolve(member.assignment);
      member.syncing = undefined;
    }
  }

  #expelUnsynced(group: Group): void {
    if (group.state !== 'completing') return;
    for (const member of [...group.members.values()]) if (member.syncing === undefined) drop(group, member);
    this.#prepare(group);
  }

  #renewSession(group: Group, member: GroupMember): void {
    member.session?.cancel();
    member.session = this.#options.clock.timer(member.request.sessionTimeoutMs, () => {
      if (member.joining !== undefined || member.syncing !== undefined) this.#renewSession(group, member);
      else this.#remove(group, member);
    });
  }

  #remove(group: Group, member: GroupMember): void {
    drop(group, member);
    if (group.state === 'preparing') this.#completeIfAllJoined(group);
    else this.#prepare(group);
  }
}

function memberOfInstance(group: Group, instanceId: string | undefined): GroupMember | undefined {
  if (instanceId === undefined) return undefined;
  return [...group.members.values()].find((member) => member.request.instanceId === instanceId);
}

function takePlace(group: Group, old: GroupMember, member: GroupMember): void {
  old.session?.cancel();
  old.joining?.reject(instanceTaken(old.request));
  old.syncing?.reject(instanceTaken(old.request));
  group.members.delete(old.id);
  member.assignment = old.assignment;
  if (group.leaderId === old.id) group.leaderId = member.id;
}

function drop(group: Group, member: GroupMember): void {
  member.session?.cancel();
  group.members.delete(member.id);
  const error = fenced({ groupId: group.id, memberId: member.id }, 'removed from the group');
  member.joining?.reject(error);
  member.syncing?.reject(error);
}

function checkProtocol(group: Group, request: JoinRequest): void {
  const others = [...group.members.values()].filter((member) => member.id !== request.memberId);
  if (others.every((member) => member.request.protocol === request.protocol)) return;
  throw new StreamError('LOG_REFUSED', `group ${group.id} speaks another protocol`, {
    facts: { groupId: group.id, protocol: request.protocol },
  });
}

function rebalancing(groupId: string): StreamError {
  return new StreamError('REBALANCE_IN_PROGRESS', `group ${groupId} rebalances`, { facts: { groupId } });
}

function fenced(member: { readonly groupId: string; readonly memberId: string }, reason: string): StreamError {
  const { groupId, memberId } = member;
  return new StreamError('MEMBER_FENCED', `member of ${groupId} is fenced: ${reason}`, {
    facts: { groupId, memberId, reason },
  });
}

function instanceTaken({
  groupId,
  instanceId,
}: {
  readonly groupId: string;
  readonly instanceId?: string | undefined;
}): StreamError {
  return new StreamError(
    'INSTANCE_ID_TAKEN',
    `another member of ${groupId} has the instance id ${String(instanceId)}`,
    {
      facts: { groupId, instanceId },
    },
  );
}
