/** The requests of a group member. */
import type { GroupMetadata, GroupOptions } from '../log.ts';
import { apis } from './apis.ts';
import type { Request } from './connection.ts';
import { checkCode, kafkaCode } from './kafka-errors.ts';
import type { WireReader } from './wire.ts';

export interface JoinAnswer {
  /** The broker gave out an id: join again with it. */
  readonly memberIdRequired: boolean;
  readonly memberId: string;
  readonly generation: number;
  readonly leaderId: string;
  /** The leader came back and the assignment stands: nothing is to be assigned. */
  readonly skipsAssignment: boolean;
  /** On the leader: everybody. */
  readonly members: readonly MemberMetadata[];
}

export interface MemberMetadata {
  readonly memberId: string;
  readonly instanceId: string | undefined;
  readonly metadata: Buffer;
}

const protocolType = 'consumer';
const protocolTypeVersion = 7;
const reasonVersion = 8;
const skipVersion = 9;
const nothing = Buffer.alloc(0);

/** Held back by the broker until all members have joined, at most the rebalance timeout. */
export function joinGroupRequest(
  options: GroupOptions,
  member: { readonly memberId: string; readonly metadata: Buffer; readonly reason: string; readonly answerMs: number },
): Request<JoinAnswer> {
  return {
    api: apis.joinGroup,
    timeoutMs: options.rebalanceTimeoutMs + member.answerMs,
    encode: (writer, version) => {
      writer.string(options.groupId);
      writer.int32(options.sessionTimeoutMs);
      writer.int32(options.rebalanceTimeoutMs);
      writer.string(member.memberId);
      writer.nullableString(options.instanceId);
      writer.string(protocolType);
      writer.array([options.protocol], (protocol) => {
        writer.string(protocol);
        writer.bytes(member.metadata);
        writer.tags();
      });
      if (version >= reasonVersion) writer.nullableString(member.reason);
      writer.tags();
    },
    decode: (reader, version) => readJoin(reader, version, options.groupId),
  };
}

function readJoin(reader: WireReader, version: number, groupId: string): JoinAnswer {
  reader.int32();
  const code = reader.int16();
  const generation = reader.int32();
  if (version >= protocolTypeVersion) reader.nullableString();
  reader.nullableString();
  const leaderId = reader.string();
  const skipsAssignment = version >= skipVersion ? reader.boolean() : false;
  const memberId = reader.string();
  const memberIdRequired = code === kafkaCode.memberIdRequired;
  if (!memberIdRequired) checkCode(code, 'the group cannot be joined', { groupId, memberId });
  const members = reader.array(() => {
    const member = {
      memberId: reader.string(),
      instanceId: reader.nullableString(),
      metadata: reader.nullableBytes() ?? nothing,
    };
    reader.tags();
    return member;
  });
  return { memberIdRequired, memberId, generation, leaderId, skipsAssignment, members };
}

/** The leader sends everybody's assignment, the others an empty list; each gets its own. */
export function syncGroupRequest(
  member: GroupMetadata,
  assignments: ReadonlyMap<string, Buffer>,
  timeoutMs: number,
): Request<Buffer> {
  return {
    api: apis.syncGroup,
    timeoutMs,
    encode: (writer) => {
      writer.string(member.groupId);
      writer.int32(member.generation);
      writer.string(member.memberId);
      writer.nullableString(member.instanceId);
      writer.array([...assignments], ([memberId, assignment]) => {
        writer.string(memberId);
        writer.bytes(assignment);
      });
    },
    decode: (reader) => {
      reader.int32();
      const { groupId, memberId, generation } = member;
      checkCode(reader.int16(), 'the group cannot be synchronised', { groupId, memberId, generation });
      return reader.nullableBytes() ?? nothing;
    },
  };
}

export function heartbeatRequest(member: GroupMetadata, timeoutMs: number): Request<void> {
  return {
    api: apis.heartbeat,
    timeoutMs,
    encode: (writer) => {
      writer.string(member.groupId);
      writer.int32(member.generation);
      writer.string(member.memberId);
      writer.nullableString(member.instanceId);
    },
    decode: (reader) => {
      reader.int32();
      const { groupId, memberId, generation } = member;
      checkCode(reader.int16(), 'the heartbeat was refused', { groupId, memberId, generation });
    },
  };
}

export function leaveGroupRequest(member: Omit<GroupMetadata, 'generation'>): Request<void> {
  return {
    api: apis.leaveGroup,
    encode: (writer) => {
      writer.string(member.groupId);
      writer.array([member], ({ memberId, instanceId }) => {
        writer.string(memberId);
        writer.nullableString(instanceId);
      });
    },
    decode: (reader) => {
      reader.int32();
      checkCode(reader.int16(), 'the group cannot be left', { groupId: member.groupId, memberId: member.memberId });
    },
  };
}
