/** The requests that create, change and remove topics and records. */
import type { TopicPartition } from '../../schemas/record.ts';
import type { NewTopic } from '../log.ts';
import { apis } from './apis.ts';
import type { Request } from './connection.ts';
import { byTopic } from './fetch-request.ts';
import { checkCode, kafkaCode, kafkaError } from './kafka-errors.ts';

const brokersDefault = -1;
const topicResource = 2;
const setOperation = 0;

/** Returns the names that were there already. `timeoutMs` is how long the broker may take, here and below. */
export function createTopicsRequest(topics: readonly NewTopic[], timeoutMs: number): Request<readonly string[]> {
  return {
    api: apis.createTopics,
    encode: (writer) => {
      writer.array(topics, ({ name, partitions, replicationFactor, configs }) => {
        writer.string(name);
        writer.int32(partitions);
        writer.int16(replicationFactor ?? brokersDefault);
        writer.array([], () => undefined);
        writer.array(Object.entries(configs ?? {}), ([key, value]) => {
          writer.string(key);
          writer.string(value);
        });
      });
      writer.int32(timeoutMs);
      writer.boolean(false);
    },
    decode: (reader) => {
      reader.int32();
      const results = reader.array(() => ({
        topic: reader.string(),
        code: reader.int16(),
        reason: reader.nullableString(),
      }));
      return results.flatMap(({ topic, code, reason }) => {
        if (code === kafkaCode.topicAlreadyExists) return [topic];
        checkCode(code, 'the topic cannot be created', { topic, reason });
        return [];
      });
    },
  };
}

/** One that does not exist is not an error. */
export function deleteTopicsRequest(names: readonly string[], timeoutMs: number): Request<void> {
  return {
    api: apis.deleteTopics,
    encode: (writer) => {
      writer.array(names, (name) => {
        writer.string(name);
      });
      writer.int32(timeoutMs);
    },
    decode: (reader) => {
      reader.int32();
      reader.array(() => {
        const topic = reader.string();
        const code = reader.int16();
        if (code !== kafkaCode.unknownTopicOrPartition) checkCode(code, 'the topic cannot be deleted', { topic });
      });
    },
  };
}

export function createPartitionsRequest(topic: string, partitions: number, timeoutMs: number): Request<void> {
  return {
    api: apis.createPartitions,
    encode: (writer) => {
      writer.array([topic], (name) => {
        writer.string(name);
        writer.int32(partitions);
        writer.nullArray();
      });
      writer.int32(timeoutMs);
      writer.boolean(false);
    },
    decode: (reader) => {
      reader.int32();
      reader.array(() => {
        const name = reader.string();
        const code = reader.int16();
        const reason = reader.nullableString();
        checkCode(code, 'partitions cannot be added', { topic: name, partitions, reason });
      });
    },
  };
}

export interface RecordsToDelete extends TopicPartition {
  readonly before: number;
}

/** Only for the leader of all these partitions. */
export function deleteRecordsRequest(
  partitions: readonly RecordsToDelete[],
  timeoutMs: number,
): Request<readonly TopicPartition[]> {
  return {
    api: apis.deleteRecords,
    encode: (writer) => {
      writer.array([...byTopic(partitions)], ([topic, group]) => {
        writer.string(topic);
        writer.array(group, ({ partition, before }) => {
          writer.int32(partition);
          writer.int64(before);
        });
      });
      writer.int32(timeoutMs);
    },
    decode: (reader) => {
      reader.int32();
      const topics = reader.array(() => {
        const topic = reader.string();
        return reader.array(() => {
          const partition = reader.int32();
          reader.int64();
          checkCode(reader.int16(), 'records cannot be deleted', { topic, partition });
          return { topic, partition };
        });
      });
      return topics.flat();
    },
  };
}

export function alterConfigsRequest(name: string, configs: Readonly<Record<string, string>>): Request<void> {
  return {
    api: apis.incrementalAlterConfigs,
    encode: (writer) => {
      writer.array([name], (topic) => {
        writer.int8(topicResource);
        writer.string(topic);
        writer.array(Object.entries(configs), ([key, value]) => {
          writer.string(key);
          writer.int8(setOperation);
          writer.string(value);
        });
      });
      writer.boolean(false);
    },
    decode: (reader) => {
      reader.int32();
      reader.array(() => {
        const code = reader.int16();
        const reason = reader.nullableString();
        reader.int8();
        const topic = reader.string();
        checkCode(code, 'the topic cannot be configured so', { topic, reason });
      });
    },
  };
}

export function describeConfigsRequest(name: string): Request<ReadonlyMap<string, string>> {
  return {
    api: apis.describeConfigs,
    encode: (writer) => {
      writer.array([name], (topic) => {
        writer.int8(topicResource);
        writer.string(topic);
        writer.nullArray();
      });
      writer.boolean(false);
    },
    decode: (reader) => {
      reader.int32();
      const results = reader.array(() => {
        const code = reader.int16();
        const reason = reader.nullableString();
        reader.int8();
        const topic = reader.string();
        const entries = reader.array(() => {
          const key = reader.string();
          const value = reader.nullableString();
          reader.boolean();
          reader.int8();
          reader.boolean();
          reader.array(() => {
            reader.string();
            reader.nullableString();
            reader.int8();
          });
          return [key, value] as const;
        });
        checkCode(code, 'the topic cannot be described', { topic, reason });
        return entries;
      });
      if (results.length === 0)
        throw kafkaError(kafkaCode.unknownTopicOrPartition, 'the topic cannot be described', { topic: name });
      return new Map(results.flat().flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const])));
    },
  };
}
