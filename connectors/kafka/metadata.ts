/** Who leads what: the Metadata and FindCoordinator requests. */
import { apis } from './apis.ts';
import type { Request } from './connection.ts';
import { checkCode, kafkaCode, kafkaError } from './kafka-errors.ts';
import type { WireReader, WireWriter } from './wire.ts';

export interface Leader {
  /** The broker; -1 while there is none. */
  readonly nodeId: number;
  /** Grows with each election; what an earlier leader says of itself is told by it. */
  readonly epoch: number;
}

export interface TopicMetadata {
  readonly name: string;
  readonly topicId: string | undefined;
  readonly isInternal: boolean;
  /** By partition number. */
  readonly leaders: readonly Leader[];
  /** Of the partition that has fewest. */
  readonly replicas: number;
}

export interface ClusterMetadata {
  readonly clusterId: string;
  readonly brokers: ReadonlyMap<number, string>;
  readonly controllerId: number;
  readonly topics: readonly TopicMetadata[];
  /** Names asked for that do not exist. */
  readonly unknown: readonly string[];
}

const noTopicId = Buffer.alloc(16).toString('base64url');
const topicIdVersion = 10;

/** `undefined` asks for all topics. Topics are never created by asking. */
export function metadataRequest(names: readonly string[] | undefined): Request<ClusterMetadata> {
  return {
    api: apis.metadata,
    encode: (writer, version) => {
      writeTopics(writer, names, version);
      writer.boolean(false);
      writer.boolean(false);
      writer.boolean(false);
      writer.tags();
    },
    decode: readMetadata,
  };
}

function writeTopics(writer: WireWriter, names: readonly string[] | undefined, version: number): void {
  if (names === undefined) {
    writer.nullArray();
    return;
  }
  writer.array(names, (name) => {
    if (version >= topicIdVersion) writer.emptyUuid();
    writer.string(name);
    writer.tags();
  });
}

function readMetadata(reader: WireReader, version: number): ClusterMetadata {
  reader.int32();
  const brokers = reader.array(() => readBroker(reader));
  const clusterId = reader.nullableString() ?? '';
  const controllerId = reader.int32();
  const topics = reader.array(() => readTopic(reader, version));
  const unknown: string[] = [];
  const known: TopicMetadata[] = [];
  for (const { code, ...topic } of topics) {
    if (code === kafkaCode.unknownTopicOrPartition) unknown.push(topic.name);
    else if (code === kafkaCode.none || topic.leaders.length > 0) known.push(topic);
    else throw kafkaError(code, 'a topic cannot be described', { topic: topic.name });
  }
  return { clusterId, brokers: new Map(brokers), controllerId, topics: known, unknown };
}

function readBroker(reader: WireReader): readonly [number, string] {
  const id = reader.int32();
  const host = reader.string();
  const port = reader.int32();
  reader.nullableString();
  reader.tags();
  return [id, `${host}:${port}`];
}

function readTopic(reader: WireReader, version: number): TopicMetadata & { readonly code: number } {
  const code = reader.int16();
  const name = reader.string();
  const id = version >= topicIdVersion ? reader.uuid() : noTopicId;
  const isInternal = reader.boolean();
  const leaders: Leader[] = [];
  let replicas = Infinity;
  reader.array(() => {
    reader.int16();
    const partition = reader.int32();
    leaders[partition] = { nodeId: reader.int32(), epoch: reader.int32() };
    replicas = Math.min(replicas, reader.array(() => reader.int32()).length);
    // In sync, and offline.
    for (let list = 0; list < 2; list++) reader.array(() => reader.int32());
    reader.tags();
  });
  reader.int32();
  reader.tags();
  return { code, name, topicId: id === noTopicId ? undefined : id, isInternal, leaders, replicas };
}

export type CoordinatorKind = 'group' | 'transaction';

export interface CoordinatorLocation {
  readonly nodeId: number;
  readonly address: string;
}

export function findCoordinatorRequest(kind: CoordinatorKind, key: string): Request<CoordinatorLocation> {
  return {
    api: apis.findCoordinator,
    encode: (writer) => {
      writer.string(key);
      writer.int8(kind === 'group' ? 0 : 1);
    },
    decode: (reader) => {
      reader.int32();
      checkCode(reader.int16(), `the ${kind} coordinator cannot be found`, { [kind]: key });
      reader.nullableString();
      const nodeId = reader.int32();
      const host = reader.string();
      return { nodeId, address: `${host}:${reader.int32()}` };
    },
  };
}
