/** What operators change while everything runs: how much of something goes a new way, and which topologies are paused. */
import { StreamError, canonicalJsonSerde, defineTopic, stringSerde, type Topic } from '../../index.ts';
import { readObject } from './reader.ts';

/**
 * `use-materialized-view`: customers are answered from the merge rather than by the system before it. `shadow-customers`: answers are compared
 * with what others say. `new-system`: requests that whoever routes them sends here rather than to the system before. `write-back-a`, `write-back-b`:
 * merged values are written to that system where it says something else.
 */
export const rolloutFlags = [
  'use-materialized-view',
  'shadow-customers',
  'new-system',
  'write-back-a',
  'write-back-b',
] as const;
export type RolloutFlag = (typeof rolloutFlags)[number];

interface ChangeBase {
  readonly by: string;
  readonly reason: string;
  /** Microseconds. */
  readonly at: number;
}

export interface FlagChange extends ChangeBase {
  readonly kind: 'flag';
  readonly name: RolloutFlag;
  /** Share of the keys, up to two decimals. */
  readonly percent: number;
  /** It was made against the plan of steps and holds. */
  readonly forced: boolean;
}

export interface PauseChange extends ChangeBase {
  readonly kind: 'topology';
  readonly name: string;
  readonly paused: boolean;
}

export type RolloutChange = FlagChange | PauseChange;

function readPercent(value: unknown, where: string): number {
  if (typeof value === 'number' && value >= 0 && value <= 100) return value;
  throw new StreamError('DESERIALIZATION_FAILED', `${where}: no percentage`);
}

/** Throws `DESERIALIZATION_FAILED`. */
function parseRolloutChange(value: unknown): RolloutChange {
  const reader = readObject(value, 'change');
  const base = { by: reader.text('by', 200), reason: reader.text('reason', 1_000), at: reader.count('at') };
  if (reader.oneOf('kind', ['flag', 'topology']) === 'topology')
    return { ...base, kind: 'topology', name: reader.text('name', 250), paused: reader.flag('paused') };
  const name = reader.oneOf('name', rolloutFlags);
  return { ...base, kind: 'flag', name, percent: reader.with('percent', readPercent), forced: reader.flag('forced') };
}

/**
 * The topic of all changes, in one partition. Nothing is ever removed from it: a change and its place in the history are one record, and the
 * order of the log is the same for everybody who reads it.
 */
export function rolloutChanges(prefix = ''): Topic<string, RolloutChange> {
  return defineTopic({
    name: `${prefix}rollout.changes`,
    key: stringSerde,
    value: canonicalJsonSerde(parseRolloutChange),
    create: { partitions: 1, configs: { 'cleanup.policy': 'delete', 'retention.ms': '-1' } },
  });
}
