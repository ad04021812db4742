/** The embedded log: Kafka's semantics in this process, on files or in memory. */
import { consoleLogger, systemClock, systemRandom, type Clock, type Logger, type Random } from '../../clock.ts';
import type { Log } from '../log.ts';
import { Broker, type BrokerOptions } from './broker.ts';
import { Connection, direct, type Carrier } from './connection.ts';
import { EmbeddedAdmin } from './embedded-admin.ts';
import { EmbeddedMember } from './embedded-member.ts';
import { EmbeddedProducer } from './embedded-producer.ts';
import { EmbeddedReader } from './embedded-reader.ts';
import { MemoryStorage } from './memory-storage.ts';
import type { Storage } from './storage.ts';

/** A client of its own broker. `close` closes the broker, and with it every other client. */
export interface EmbeddedLog extends Log {
  /**
   * Another client of the same broker. Its `close` ends only itself, abruptly: members do not leave their groups. `clock`, the log's own if absent, times its
   * heartbeats and waits.
   */
  client(carry?: Carrier, clock?: Clock): Log;
  /** Runs retention and compaction now. Rejects never for one partition's sake. */
  maintain(): Promise<void>;
}

export interface EmbeddedLogOptions {
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Logger;
  /** How often retention and compaction run; 30 s if absent. */
  readonly maintenanceIntervalMs?: number;
  /** Transaction markers follow the decision by up to this, partition by partition, as in a cluster; 0 if absent. */
  readonly markerDelayMs?: number;
  /** An idle producer or transactional id is forgotten after this; 7 days if absent. */
  readonly producerExpirationMs?: number;
  /** The journal is rewritten as a snapshot when it has grown to this; 4 MiB if absent. */
  readonly journalBytes?: number;
}

export interface MemoryLogOptions extends EmbeddedLogOptions {
  /** What is kept in it outlives the log: opening it again is a restart. */
  readonly storage?: Storage;
}

/** A log in memory. */
export function memoryLog(options: MemoryLogOptions = {}): EmbeddedLog {
  return openLog(options.storage ?? new MemoryStorage(), 'on-roll', options);
}

/** Opens the log that a storage holds, or makes one. Throws `LOG_CORRUPT`, `LOG_UNAVAILABLE`. */
export function openLog(storage: Storage, fsync: BrokerOptions['fsync'], options: EmbeddedLogOptions): EmbeddedLog {
  const { clock = systemClock, random = systemRandom, logger = consoleLogger } = options;
  const broker = new Broker({
    storage,
    clock,
    random,
    logger,
    fsync,
    maintenanceIntervalMs: options.maintenanceIntervalMs ?? 30_000,
    markerDelayMs: options.markerDelayMs ?? 0,
    producerExpirationMs: options.producerExpirationMs ?? 7 * 86_400_000,
    journalBytes: options.journalBytes ?? 4 * 1024 * 1024,
  });
  const first = clientOf(broker, direct, clock);
  return {
    ...first,
    client: (carry = direct, clientClock = clock) => clientOf(broker, carry, clientClock),
    maintain: () => broker.maintain(),
    close: async () => {
      await first.close();
      await broker.close();
    },
  };
}

function clientOf(broker: Broker, carry: Carrier, clock: Clock): Log {
  const connection = new Connection(broker, carry, clock);
  return {
    admin: new EmbeddedAdmin(connection),
    reader: (options) => new EmbeddedReader(connection, options),
    producer: async (options) => {
      const { transactionalId, transactionTimeoutMs = 60_000 } = options;
      const { transactions } = broker;
      const grant = await connection.request('init-producer', () => {
        broker.checkOpen();
        return transactionalId === undefined
          ? transactions.grantIdempotent()
          : transactions.grant(transactionalId, transactionTimeoutMs);
      });
      return new EmbeddedProducer(connection, options, grant);
    },
    member: (options, listener) => new EmbeddedMember(connection, options, listener),
    close: async () => {
      connection.close();
    },
  };
}
