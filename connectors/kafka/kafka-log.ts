/** The log on a real Kafka cluster, 2.5 or later. */
import { consoleLogger, systemClock, systemRandom } from '../../clock.ts';
import type { Clock, Logger, Random } from '../../clock.ts';
import { StreamError } from '../../errors.ts';
import type { Log } from '../log.ts';
import { KafkaAdmin } from './admin.ts';
import { Cluster } from './cluster.ts';
import type { ConnectionSettings } from './connection.ts';
import { connectTimeoutMsDefault, operationTimeoutMsDefault, requestTimeoutMsDefault } from './limits.ts';
import { KafkaMember } from './member.ts';
import { KafkaProducer } from './producer.ts';
import { KafkaReader } from './reader.ts';

export interface KafkaOptions extends Pick<ConnectionSettings, 'ssl' | 'sasl'> {
  /** `host:port` of some brokers; the others are learned from them. */
  readonly brokers: readonly string[];
  /** Of topics that are created without one: so many replicas, or as many as there are brokers if these are fewer. Absent: the brokers' default. */
  readonly replicationFactor?: number;
  /** Names this client in the brokers' logs, metrics and quotas. */
  readonly clientId: string;
  /** After which an unanswered request counts as lost. */
  readonly requestTimeoutMs?: number;
  /** TCP, TLS and SASL together. */
  readonly connectTimeoutMs?: number;
  /** How long one call goes on trying for passing reasons before it rejects with `LOG_UNAVAILABLE`. */
  readonly operationTimeoutMs?: number;
}

export interface KafkaDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** Connects when first used. Throws `CONFIG_INVALID` without brokers. */
export function kafkaLog(options: KafkaOptions, deps: Partial<KafkaDeps> = {}): Log {
  if (options.brokers.length === 0) throw new StreamError('CONFIG_INVALID', 'at least one broker must be given');
  const cluster = new Cluster(
    {
      ...options,
      requestTimeoutMs: options.requestTimeoutMs ?? requestTimeoutMsDefault,
      connectTimeoutMs: options.connectTimeoutMs ?? connectTimeoutMsDefault,
      operationTimeoutMs: options.operationTimeoutMs ?? operationTimeoutMsDefault,
    },
    { clock: systemClock, random: systemRandom, logger: consoleLogger, ...deps },
  );
  const admin = new KafkaAdmin(cluster);
  return {
    admin,
    reader: (readerOptions) =>
      new KafkaReader(cluster, readerOptions, async (at) => {
        const [range] = await admin.offsets([at]);
        return { start: range?.start ?? 0, end: range?.end ?? 0 };
      }),
    producer: (producerOptions) => KafkaProducer.open(cluster, producerOptions),
    member: (groupOptions, listener) => new KafkaMember(cluster, groupOptions, listener),
    close: () => cluster.close(),
  };
}
