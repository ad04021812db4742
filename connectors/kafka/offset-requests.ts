/** The requests about positions: where partitions begin and end, and what groups have committed. */
import type { TopicPartition } from '../../schemas/record.ts';
import type { CommittedOffset, Isolation, OffsetToCommit } from '../log.ts';
import { apis } from './apis.ts';
import type { Request } from './connection.ts';
import { byTopic } from './fetch-request.ts';
import { checkCode } from './kafka-errors.ts';

/** Instead of a timestamp. */
export const latestOffset = -1;
export const earliestOffset = -2;

export interface FoundOffset extends TopicPartition {
  /** -1 if no record is as young as asked for. */
  readonly offset: number;
}

/** Under `read_committed` the latest offset is the last stable one. Only for the leader of all these partitions. */
export function listOffsetsRequest(
  partitions: readonly TopicPartition[],
  options: {
    readonly isolation: Isolation;
    readonly timestampMs: number;
    /** Of the leader that is meant: another one refuses. */
    readonly leaderEpoch: (at: TopicPartition) => number;
  },
): Request<readonly FoundOffset[]> {
  return {
    api: apis.listOffsets,
    encode: (writer) => {
      writer.int32(-1);
      writer.int8(options.isolation === 'read_committed' ? 1 : 0);
      writer.array([...byTopic(partitions)], ([topic, group]) => {
        writer.string(topic);
        writer.array(group, ({ partition }) => {
          writer.int32(partition);
          writer.int32(options.leaderEpoch({ topic, partition }));
          writer.int64(options.timestampMs);
        });
      });
    },
    decode: (reader) => {
      reader.int32();
      const topics = reader.array(() => {
        const topic = reader.string();
        return reader.array(() => {
          const partition = reader.int32();
          checkCode(reader.int16(), 'offsets cannot be listed', { topic, partition });
          reader.int64();
          const offset = reader.int64();
          reader.int32();
          return { topic, partition, offset };
        });
      });
      return topics.flat();
    },
  };
}

export interface FoundCommit extends TopicPartition {
  readonly committed: CommittedOffset | undefined;
}

export function offsetFetchRequest(
  groupId: string,
  partitions: readonly TopicPartition[],
  requireStable: boolean,
): Request<readonly FoundCommit[]> {
  return {
    api: apis.offsetFetch,
    encode: (writer) => {
      writer.string(groupId);
      writer.array([...byTopic(partitions)], ([topic, group]) => {
        writer.string(topic);
        writer.array(group, ({ partition }) => {
          writer.int32(partition);
        });
        writer.tags();
      });
      writer.boolean(requireStable);
      writer.tags();
    },
    decode: (reader) => {
      reader.int32();
      const topics = reader.array(() => {
        const topic = reader.string();
        const group = reader.array(() => {
          const partition = reader.int32();
          const offset = reader.int64();
          reader.int32();
          const metadata = reader.string();
          checkCode(reader.int16(), 'committed offsets cannot be fetched', { groupId, topic, partition });
          reader.tags();
          return { topic, partition, committed: offset < 0 ? undefined : { offset, metadata } };
        });
        reader.tags();
        return group;
      });
      checkCode(reader.int16(), 'committed offsets cannot be fetched', { groupId });
      return topics.flat();
    },
  };
}

export interface Committer {
  readonly groupId: string;
  /** -1 with an empty member id: no member, allowed while the group has none. */
  readonly generation: number;
  readonly memberId: string;
  readonly instanceId?: string | undefined;
}

export function offsetCommitRequest(committer: Committer, offsets: readonly OffsetToCommit[]): Request<void> {
  return {
    api: apis.offsetCommit,
    encode: (writer) => {
      writer.string(committer.groupId);
      writer.int32(committer.generation);
      writer.string(committer.memberId);
      writer.nullableString(committer.instanceId);
      writer.array([...byTopic(offsets)], ([topic, group]) => {
        writer.string(topic);
        writer.array(group, ({ partition, offset, metadata }) => {
          writer.int32(partition);
          writer.int64(offset);
          writer.int32(-1);
          writer.string(metadata ?? '');
        });
      });
    },
    decode: (reader) => {
      const { groupId, generation } = committer;
      reader.int32();
      reader.array(() => {
        const topic = reader.string();
        reader.array(() => {
          const partition = reader.int32();
          checkCode(reader.int16(), 'the offset cannot be committed', { groupId, generation, topic, partition });
        });
      });
    },
  };
}
