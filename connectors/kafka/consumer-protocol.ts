/** The frames that Kafka's consumers wrap their group metadata in. Ours must be valid ones: brokers parse them, and tools list their topics. */
import type { JoinedMember } from '../log.ts';
import { WireReader, WireWriter } from './wire.ts';

const subscriptionVersion = 2;
const assignmentVersion = 0;

function body(write: (writer: WireWriter) => void): Buffer {
  const writer = new WireWriter(false);
  write(writer);
  const [, ...chunks] = writer.finish();
  return Buffer.concat(chunks);
}

/** `generation` is the last one known: a member that joins again in a new one sends other bytes, which makes the coordinator rebalance. */
export function encodeSubscription(topics: readonly string[], userData: Uint8Array, generation: number): Buffer {
  return body((writer) => {
    writer.int16(subscriptionVersion);
    writer.array(topics, (topic) => {
      writer.string(topic);
    });
    writer.bytes(userData);
    writer.array([], () => undefined);
    writer.int32(generation);
  });
}

const nothing = Buffer.alloc(0);

/** What another client sent may be anything: what cannot be read is handed on as it is. */
export function decodeSubscription(metadata: Buffer): Pick<JoinedMember, 'topics' | 'userData'> {
  try {
    const reader = new WireReader(metadata, false);
    reader.int16();
    const topics = reader.array(() => reader.string());
    return { topics, userData: reader.nullableBytes() ?? nothing };
  } catch {
    return { topics: [], userData: metadata };
  }
}

/** Partitions are assigned inside the user data. */
export function encodeAssignment(userData: Uint8Array): Buffer {
  return body((writer) => {
    writer.int16(assignmentVersion);
    writer.array([], () => undefined);
    writer.bytes(userData);
  });
}

/** Bytes that are no assignment read as an empty one. */
export function decodeAssignment(assignment: Buffer): Uint8Array {
  try {
    const reader = new WireReader(assignment, false);
    reader.int16();
    reader.array(() => {
      reader.string();
      reader.array(() => reader.int32());
    });
    return reader.nullableBytes() ?? nothing;
  } catch {
    return nothing;
  }
}
