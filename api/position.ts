/** Offset vectors: which input offsets an answer reflects, and which it has to. */
import { StreamError } from '../errors.ts';
import { limits } from './limits.ts';

/** `topic/partition` -> offset of the next record. */
export type PositionVector = ReadonlyMap<string, number>;

const topicPattern = /^[a-zA-Z0-9._-]{1,249}$/;

/** The text form, sorted: `orders/0=12;3=7,payments/0=4` are partitions 0 and 3 of one topic and partition 0 of another. */
export function formatPosition(position: PositionVector): string {
  const byTopic = new Map<string, [partition: number, offset: number][]>();
  for (const [id, offset] of position) {
    const slash = id.lastIndexOf('/');
    const topic = id.slice(0, slash);
    const partitions = byTopic.get(topic);
    const entry: [number, number] = [Number(id.slice(slash + 1)), offset];
    if (partitions === undefined) byTopic.set(topic, [entry]);
    else partitions.push(entry);
  }
  return [...byTopic]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([topic, list]) => `${topic}/${formatPartitions(list)}`)
    .join(',');
}

function formatPartitions(list: readonly (readonly [partition: number, offset: number])[]): string {
  return [...list]
    .sort(([a], [b]) => a - b)
    .map(([partition, offset]) => `${partition}=${offset}`)
    .join(';');
}

/** Parses the text form. Throws `QUERY_INVALID`. */
export function parsePosition(text: string): PositionVector {
  if (text.length > limits.positionChars) refuse();
  const position = new Map<string, number>();
  if (text === '') return position;
  for (const group of text.split(',')) {
    const slash = group.indexOf('/');
    const topic = group.slice(0, Math.max(slash, 0));
    if (!topicPattern.test(topic)) refuse();
    for (const pair of group.slice(slash + 1).split(';')) {
      const [, partition, offset] = /^(\d{1,9})=(\d{1,15})$/.exec(pair) ?? refuse();
      position.set(`${topic}/${Number(partition)}`, Number(offset));
    }
  }
  return position;
}

function refuse(): never {
  throw new StreamError('QUERY_INVALID', 'X-Min-Position is not an offset vector as X-Position gives it');
}

/** The higher offset of both, per partition. */
export function mergePositions(positions: readonly PositionVector[]): PositionVector {
  const merged = new Map<string, number>();
  for (const position of positions)
    for (const [id, offset] of position) merged.set(id, Math.max(offset, merged.get(id) ?? 0));
  return merged;
}

/**
 * Whether a store partition that reads `inputs` reflects everything `wanted` asks of it. Other partitions are not its
 * business; that it reads the topics at all is checked before.
 */
export function isReached(position: PositionVector, wanted: PositionVector, inputs: ReadonlySet<string>): boolean {
  for (const [id, offset] of wanted) if (inputs.has(id) && (position.get(id) ?? 0) < offset) return false;
  return true;
}
