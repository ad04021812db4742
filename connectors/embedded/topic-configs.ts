/** Topic configurations by Kafka's names: defaults, checks, and the values the log acts on. */
import { StreamError } from '../../errors.ts';

const dayMs = 86_400_000;

/**
 * Kafka 4.3's defaults, with three exceptions that suit one process: segments are 16 MiB, so that compaction and retention, which
 * never touch the newest segment, take effect sooner; and a record may lie in the future (`message.timestamp.after.max.ms`).
 */
const defaults: ReadonlyMap<string, string> = new Map([
  ['cleanup.policy', 'delete'],
  ['compression.type', 'producer'],
  ['delete.retention.ms', String(dayMs)],
  ['file.delete.delay.ms', '0'],
  ['flush.messages', '9223372036854775807'],
  ['flush.ms', '9223372036854775807'],
  ['index.interval.bytes', '4096'],
  ['max.compaction.lag.ms', '9223372036854775807'],
  ['max.message.bytes', '1048588'],
  ['message.timestamp.after.max.ms', '9223372036854775807'],
  ['message.timestamp.before.max.ms', '9223372036854775807'],
  ['message.timestamp.type', 'CreateTime'],
  ['min.cleanable.dirty.ratio', '0.5'],
  ['min.compaction.lag.ms', '0'],
  ['min.insync.replicas', '1'],
  ['preallocate', 'false'],
  ['retention.bytes', '-1'],
  ['retention.ms', String(7 * dayMs)],
  ['segment.bytes', String(16 * 1024 * 1024)],
  ['segment.index.bytes', '10485760'],
  ['segment.jitter.ms', '0'],
  ['segment.ms', String(7 * dayMs)],
  ['unclean.leader.election.enable', 'false'],
]);

/** What the log does with a topic's records. Absent limits are infinite. */
export interface TopicPolicy {
  readonly isCompacted: boolean;
  readonly isDeleted: boolean;
  readonly isLogAppendTime: boolean;
  readonly batchBytesMax: number;
  readonly segmentBytes: number;
  readonly segmentMs: number;
  readonly retentionMs: number;
  readonly retentionBytes: number;
  readonly deleteRetentionMs: number;
  readonly minDirtyRatio: number;
  readonly minCompactionLagMs: number;
  readonly timestampBeforeMs: number;
  readonly timestampAfterMs: number;
}

type Check = (value: string) => boolean;
const isPolicy: Check = (value) =>
  value.split(',').every((part) => part.trim() === 'compact' || part.trim() === 'delete');
const isTimestampType: Check = (value) => value === 'CreateTime' || value === 'LogAppendTime';
const isCount: Check = (value) => /^-?\d{1,19}$/.test(value) && Number(value) >= -1;
const isRatio: Check = (value) => Number(value) >= 0 && Number(value) <= 1 && value.trim() !== '';
const isBoolean: Check = (value) => value === 'true' || value === 'false';
const isCodec: Check = (value) => ['producer', 'uncompressed', 'gzip', 'snappy', 'lz4', 'zstd'].includes(value);

const checks: Readonly<Record<string, Check>> = {
  'cleanup.policy': isPolicy,
  'compression.type': isCodec,
  'message.timestamp.type': isTimestampType,
  'min.cleanable.dirty.ratio': isRatio,
  preallocate: isBoolean,
  'unclean.leader.election.enable': isBoolean,
};

/** Throws `TOPIC_INVALID` for a name Kafka does not know or a value out of its range. */
export function checkTopicConfigs(topic: string, configs: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(configs)) {
    const isValid = defaults.has(name) && (checks[name] ?? isCount)(value);
    if (!isValid)
      throw new StreamError('TOPIC_INVALID', `topic ${topic} has an invalid configuration ${name}`, {
        facts: { topic, config: name, value },
      });
  }
}

/** Defaults overlaid with what the topic was created with. */
export function effectiveConfigs(configs: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  return new Map([...defaults, ...Object.entries(configs)]);
}

export function topicPolicy(configs: Readonly<Record<string, string>>): TopicPolicy {
  const effective = effectiveConfigs(configs);
  const limit = (name: string): number => {
    const value = Number(effective.get(name));
    return value < 0 || !Number.isSafeInteger(value) ? Infinity : value;
  };
  const cleanup = (effective.get('cleanup.policy') ?? '').split(',').map((part) => part.trim());
  return {
    isCompacted: cleanup.includes('compact'),
    isDeleted: cleanup.includes('delete'),
    isLogAppendTime: effective.get('message.timestamp.type') === 'LogAppendTime',
    batchBytesMax: limit('max.message.bytes'),
    segmentBytes: limit('segment.bytes'),
    segmentMs: limit('segment.ms'),
    retentionMs: limit('retention.ms'),
    retentionBytes: limit('retention.bytes'),
    deleteRetentionMs: limit('delete.retention.ms'),
    minDirtyRatio: Number(effective.get('min.cleanable.dirty.ratio')),
    minCompactionLagMs: limit('min.compaction.lag.ms'),
    timestampBeforeMs: limit('message.timestamp.before.max.ms'),
    timestampAfterMs: limit('message.timestamp.after.max.ms'),
  };
}
