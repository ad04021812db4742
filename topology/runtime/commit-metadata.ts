/** What travels with a committed offset: Kafka Streams' format, base64 of magic 2, int64 partition time, int32 0. */
import { int64Serde } from '../../schemas/serde.ts';

const magic = 2;

export function encodePartitionTime(partitionTimeMs: number): string {
  if (partitionTimeMs < 0) return '';
  return Buffer.concat([Buffer.from([magic]), int64Serde.serialize(partitionTimeMs), Buffer.alloc(4)]).toString(
    'base64',
  );
}

/** -1 for metadata that is absent or not ours. */
export function decodePartitionTime(metadata: string): number {
  const bytes = Buffer.from(metadata, 'base64');
  if (bytes.length < 9 || bytes[0] !== magic) return -1;
  const high = bytes.readInt32BE(1);
  if (high < 0 || high > 0x1f_ffff) return -1;
  return int64Serde.deserialize(bytes.subarray(1, 9));
}
