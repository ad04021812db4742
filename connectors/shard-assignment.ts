/** Who gets which shard: pure, so that any member can lead. */

export interface ShardClaim {
  readonly memberId: string;
  /** What the member had; `undefined` for a member that speaks another language, which gets nothing. */
  readonly shards: readonly string[] | undefined;
}

/** The largest list read from another member. */
const shardsMax = 10_000;

/** Every shard to one member, as evenly as can be; members keep what they had as far as that allows. */
export function assignShards(
  shards: readonly string[],
  claims: readonly ShardClaim[],
): ReadonlyMap<string, readonly string[]> {
  const ordered = [...claims].sort((left, right) => (left.memberId < right.memberId ? -1 : 1));
  const assigned = new Map<string, string[]>(ordered.map(({ memberId }) => [memberId, []]));
  const able = ordered.filter((claim) => claim.shards !== undefined);
  if (able.length === 0) return assigned;
  const most = Math.ceil(shards.length / able.length);
  const free = new Set(shards);
  for (const { memberId, shards: claimed = [] } of able)
    for (const shard of claimed) {
      const own = assigned.get(memberId) ?? [];
      if (own.length < most && free.delete(shard)) own.push(shard);
    }
  for (const shard of free) leastLoaded(able, assigned).push(shard);
  return assigned;
}

function leastLoaded(able: readonly ShardClaim[], assigned: ReadonlyMap<string, string[]>): string[] {
  let least: string[] | undefined;
  for (const { memberId } of able) {
    const own = assigned.get(memberId) ?? [];
    if (least === undefined || own.length < least.length) least = own;
  }
  return least ?? [];
}

export function encodeShards(shards: readonly string[]): Uint8Array {
  return Buffer.from(JSON.stringify({ rivuletWork: 1, shards }));
}

/** `undefined` for bytes of something else. */
export function decodeShards(bytes: Uint8Array): readonly string[] | undefined {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    if (typeof parsed !== 'object' || parsed === null || !('rivuletWork' in parsed) || !('shards' in parsed))
      return undefined;
    const { shards } = parsed;
    if (!Array.isArray(shards) || shards.length > shardsMax) return undefined;
    return shards.filter((shard): shard is string => typeof shard === 'string');
  } catch {
    return undefined;
  }
}
