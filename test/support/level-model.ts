/** A store whose content follows from its position, so that any state of it can be checked. */
import type { StoreOpenOptions } from '../../state-stores/store.ts';

export const levelPath = ['0_0', 'totals'];

/** A write buffer so small that tables come and go, and large enough for a log of several blocks. */
export const smallStore: StoreOpenOptions = {
  identity: { application: 'shop', store: 'totals', taskId: '0_0', format: 1, changelog: 'cluster/topic/4' },
  writeBufferBytes: 256 * 1024,
  nowMs: () => 0,
};

const keyCount = 500;
const batchEntries = 8;

export const modelKeys: readonly Uint8Array[] = Array.from({ length: keyCount }, (_, index) =>
  Buffer.from(`key-${String((index * 7919) % 1000).padStart(4, '0')}`),
);

/** Some 200 bytes that hardly compress and name the batch they are of. */
function valueOf(position: number, key: number): Uint8Array {
  const value = Buffer.alloc(120 + ((position * 31 + key) % 160));
  let seed = (position * 65_537 + key * 257 + 1) >>> 0;
  for (let index = 0; index < value.length; index += 1) {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    value[index] = seed >>> 24;
  }
  value.writeUInt32BE(position, 0);
  return value;
}

/** What the batch that brings the store to `position` writes; `undefined` deletes. */
export function batchOf(position: number): readonly (readonly [key: Uint8Array, value: Uint8Array | undefined])[] {
  return Array.from({ length: batchEntries }, (_, index) => {
    const key = (position * 37 + index * 101) % keyCount;
    const value = (position + index) % 9 === 0 ? undefined : valueOf(position, key);
    return [modelKeys[key]!, value] as const;
  });
}

type Content = ReadonlyMap<string, string>;

const stride = 50;
/** The contents at the multiples of `stride`. */
const milestones: Content[] = [new Map()];

function advanced(content: Content, from: number, to: number): Content {
  const next = new Map(content);
  for (let position = from + 1; position <= to; position += 1)
    for (const [key, value] of batchOf(position)) {
      if (value === undefined) next.delete(Buffer.from(key).toString('hex'));
      else next.set(Buffer.from(key).toString('hex'), Buffer.from(value).toString('hex'));
    }
  return next;
}

/** The content at a position; keys and values in hexadecimal. */
export function contentAt(position: number): Content {
  const milestone = Math.floor(position / stride);
  for (let each = milestones.length; each <= milestone; each += 1)
    milestones.push(advanced(milestones[each - 1]!, (each - 1) * stride, each * stride));
  return advanced(milestones[milestone]!, milestone * stride, position);
}
