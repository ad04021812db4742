/**
 * What travels with a committed offset: Kafka Streams' format, base64 of magic 2, int64 partition time, int32 number of times that steps keep,
 * for each of them int32 length of its name, the name, int64.
 */
import { StreamError } from '../../errors.ts';
import { int64Serde } from '../../schemas/serde.ts';

const magic = 2;
const headBytes = 9;
/** A broker takes 4096 characters with an offset (`offset.metadata.max.bytes`). */
const metadataBytesMax = 3 * 1024;

/** Times of steps by their names. */
type StepTimes = ReadonlyMap<string, { readonly ms: number }>;

export interface CommitMetadata {
  readonly partitionTimeMs: number;
  readonly stepTimes: ReadonlyMap<string, number>;
}

/** Empty as long as nothing is known. */
export function encodeMetadata(partitionTimeMs: number, stepTimes: StepTimes): string {
  const known = [...stepTimes].filter(([, { ms }]) => ms >= 0);
  if (partitionTimeMs < 0 && known.length === 0) return '';
  const times = known.flatMap(([name, { ms }]) => {
    const bytes = Buffer.from(name, 'utf8');
    return [int32(bytes.length), bytes, int64Serde.serialize(ms)];
  });
  const head = [Buffer.of(magic), int64Serde.serialize(partitionTimeMs), int32(known.length)];
  return Buffer.concat([...head, ...times]).toString('base64');
}

/** Throws `TOPOLOGY_INVALID` when the steps of a task keep more times than fit. */
export function checkStepTimes(names: Iterable<string>): void {
  let bytes = headBytes + 4;
  for (const name of names) bytes += Buffer.byteLength(name) + 12;
  if (bytes > metadataBytesMax)
    throw new StreamError(
      'TOPOLOGY_INVALID',
      'too many windowed steps in one sub-topology: split it by a repartition',
      {
        facts: { bytes, metadataBytesMax },
      },
    );
}

/** -1 and no times for metadata that is absent or not ours. */
export function decodeMetadata(metadata: string): CommitMetadata {
  const bytes = Buffer.from(metadata, 'base64');
  const partitionTimeMs = bytes[0] === magic ? timeAt(bytes, 1) : undefined;
  if (partitionTimeMs === undefined) return { partitionTimeMs: -1, stepTimes: new Map() };
  return { partitionTimeMs, stepTimes: stepTimesAt(bytes, headBytes) };
}

function stepTimesAt(bytes: Buffer, start: number): ReadonlyMap<string, number> {
  const times = new Map<string, number>();
  if (bytes.length < start + 4) return times;
  let offset = start + 4;
  for (let left = bytes.readInt32BE(start); left > 0 && offset + 4 <= bytes.length; left -= 1) {
    const end = offset + 4 + bytes.readInt32BE(offset);
    const ms = timeAt(bytes, end);
    if (ms === undefined) break;
    times.set(bytes.toString('utf8', offset + 4, end), ms);
    offset = end + 8;
  }
  return times;
}

/** `undefined` for what cannot be a time. */
function timeAt(bytes: Buffer, offset: number): number | undefined {
  if (offset < 0 || bytes.length < offset + 8) return undefined;
  if (bytes.readBigInt64BE(offset) === -1n) return -1;
  const high = bytes.readInt32BE(offset);
  return high < 0 || high > 0x1f_ffff ? undefined : int64Serde.deserialize(bytes.subarray(offset, offset + 8));
}

function int32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeInt32BE(value, 0);
  return bytes;
}
