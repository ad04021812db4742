/** Embedded change capture: tables of a PostgreSQL publication into a topic, in the form of Debezium's events. For machines without Kafka Connect. */
import pg from 'pg';
import type { Clock, Logger } from '../../clock.ts';
import { StreamError } from '../../errors.ts';
import { measuresWith, type Connector, type Measure } from '../connector.ts';
import type { Log, Producer } from '../log.ts';
import { batchesOf, type OutgoingRecord } from '../outgoing-record.ts';
import type { SourceOutcome } from '../source-status.ts';
import { recordsOf, type ChangeSource, type RowChange } from './envelope.ts';
import type { Relation, ReplicationMessage } from './pgoutput.ts';
import { ReplicationStream, captureClient, type PositionedMessage } from './replication-stream.ts';
import { exportSnapshot, readSnapshot } from './table-snapshot.ts';

export interface PostgresCaptureOptions {
  /** Logical name of the database; events carry it. */
  readonly name: string;
  /** Of a user with REPLICATION who may read the tables of the publication. */
  readonly connectionString: string;
  readonly publication: string;
  /** Made with a snapshot if it is not there. One capture at a time has it; others wait until it is free. */
  readonly slot: string;
  readonly topic: string;
  /** Told every ten seconds while all changes so far are in the log, and when the database turns out to be away. */
  readonly onHealth?: (outcome: SourceOutcome) => Promise<unknown>;
  readonly log: Log;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A transaction with more changes is sent in pieces; it is acknowledged as a whole. */
const recordsPerSendMax = 2_000;
/** Between two questions to the database whether there is more. */
export const captureHealthMs = 10_000;
/** Another process has the slot. */
const slotInUse = '55006';
const retry = { firstMs: 200, maxMs: 10_000 } as const;
const noTransaction: Pick<ChangeSource, 'transactionId' | 'commitMicros'> = { transactionId: 0, commitMicros: 0 };

/** Delivers every change at least once, in order, and acknowledges it when the log has it. */
export function postgresCapture(options: PostgresCaptureOptions): Connector {
  return new PostgresCapture(options);
}

class PostgresCapture implements Connector {
  readonly name: string;
  readonly #options: PostgresCaptureOptions;
  readonly #database: string;
  readonly #closing = new AbortController();
  readonly #relations = new Map<number, Relation>();
  #running: Promise<void> | undefined;
  #stream: ReplicationStream | undefined;
  #producer: Producer | undefined;
  #partitions: ReadonlyMap<string, number> = new Map();
  #records: OutgoingRecord[] = [];
  #transaction = noTransaction;
  #eventCount = 0;
  #failureCount = 0;
  #isUp = false;
  /** From the commit of the last transaction to its being in the log. */
  #lagSeconds = 0;
  /** Monotonic; when it was last told that all is well. */
  #toldMs = -Infinity;
  #telling: Promise<void> | undefined;

  constructor(options: PostgresCaptureOptions) {
    this.name = options.name;
    this.#options = options;
    this.#database = new URL(options.connectionString).pathname.slice(1);
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#stream?.close();
    await this.#running;
  }

  measures(): readonly Measure[] {
    const measure = measuresWith({ system: this.name });
    return [
      measure('connector_events_total', 'Change events written by this process.', this.#eventCount),
      measure('connector_errors_total', 'Interruptions of the capture by this process.', this.#failureCount),
      measure(
        'connector_is_streaming',
        'Whether this process is the one that follows the changes.',
        this.#isUp ? 1 : 0,
      ),
      measure(
        'connector_capture_lag_seconds',
        'From the commit of the last transaction to its being in the log.',
        this.#lagSeconds,
      ),
    ];
  }

  #isClosing(): boolean {
    return this.#closing.signal.aborted;
  }

  async #run(): Promise<void> {
    const { clock, logger } = this.#options;
    const { signal } = this.#closing;
    for (let attempt = 0; !this.#isClosing(); attempt++) {
      const before = this.#eventCount;
      try {
        await this.#capture();
      } catch (error) {
        if (this.#isClosing()) break;
        this.#failureCount += 1;
        if (this.#eventCount > before) attempt = 0;
        logger.warn('change capture is interrupted', { source: this.name, error });
        await this.#failed(error);
        await clock.sleep(Math.min(retry.maxMs, retry.firstMs * 2 ** Math.min(attempt, 10)), signal);
      } finally {
        await this.#letGo();
      }
    }
  }

  /** That another process has the slot says nothing about the database. */
  async #failed(error: unknown): Promise<void> {
    const reason: unknown = error instanceof StreamError && error.cause !== undefined ? error.cause : error;
    if (reason instanceof pg.DatabaseError && reason.code === slotInUse) return;
    const code = error instanceof StreamError ? error.code : 'DEPENDENCY_UNAVAILABLE';
    if (code === 'DEPENDENCY_UNAVAILABLE') await this.#tell({ isUp: false, code });
  }

  /** The server answers whenever it likes, which is too often to tell. */
  #caughtUp(): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#toldMs < captureHealthMs / 2) return;
    this.#toldMs = nowMs;
    this.#telling = this.#tell({ isUp: true });
  }

  /** A log that is away is met by what comes next. */
  async #tell(outcome: SourceOutcome): Promise<void> {
    await this.#options.onHealth?.(outcome).catch(() => undefined);
  }

  async #letGo(): Promise<void> {
    this.#isUp = false;
    this.#toldMs = -Infinity;
    await this.#telling;
    this.#records = [];
    const [stream, producer] = [this.#stream, this.#producer];
    this.#stream = undefined;
    this.#producer = undefined;
    await stream?.close().catch(() => undefined);
    await producer?.close();
  }

  async #capture(): Promise<void> {
    const { log, topic, slot, publication, connectionString } = this.#options;
    const found = (await log.admin.describeTopics([topic])).get(topic);
    if (found === undefined) throw new StreamError('TOPIC_UNKNOWN', 'the topic is not there yet', { facts: { topic } });
    this.#partitions = new Map([[topic, found.partitions]]);
    this.#producer = await log.producer({});
    await withConnection(connectionString, (client) => this.#prepareSlot(client));
    const client = captureClient(connectionString, 'database');
    await client.connect();
    const ended = new AbortController();
    const stream = new ReplicationStream(client, () => this.#caughtUp());
    this.#stream = stream;
    if (this.#isClosing()) return;
    stream.start(slot, publication);
    this.#isUp = true;
    const asking = this.#keepAsking(stream, ended.signal);
    try {
      for (let next = await stream.next(); next !== undefined; next = await stream.next())
        await this.#follow(stream, next);
    } finally {
      ended.abort();
      await asking;
    }
  }

  async #keepAsking(stream: ReplicationStream, ended: AbortSignal): Promise<void> {
    while (!ended.aborted) {
      stream.ask();
      await this.#options.clock.sleep(captureHealthMs, ended);
    }
  }

  /**
   * The slot of the stream is made when all rows of a snapshot are in the log, as a copy of one from before the first of them. Whoever is interrupted finds no
   * slot of the stream and starts over; the stream then tells of rows that an earlier snapshot had and that were deleted before the last one. What it
   * tells that a snapshot knew already is older than that, by its position.
   */
  async #prepareSlot(client: pg.Client): Promise<void> {
    const { slot } = this.#options;
    const begun = `${slot}_begun`;
    const slots = await slotsOf(client);
    if (!slots.has(slot)) {
      if (!slots.has(begun)) await client.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [begun]);
      await this.#snapshot();
      await client.query('SELECT pg_copy_logical_replication_slot($1, $2)', [begun, slot]);
    } else if (!slots.has(begun)) return;
    await client.query('SELECT pg_drop_replication_slot($1)', [begun]);
  }

  /** One process at a time: the slot that exports it has one name, and goes with its connection. */
  async #snapshot(): Promise<void> {
    const { slot, publication, connectionString } = this.#options;
    await withConnection(
      connectionString,
      async (client) => {
        const { lsn, snapshot } = await exportSnapshot(client, `${slot}_snapshot`);
        const pages = readSnapshot({ connectionString, publication, snapshot });
        for await (const { relation, rows, atMicros } of pages) {
          this.#transaction = { transactionId: 0, commitMicros: atMicros };
          for (const after of rows) this.#add(relation, { op: 'r', after }, lsn);
          await this.#send();
        }
      },
      'database',
    );
  }

  async #follow(stream: ReplicationStream, { lsn, message }: PositionedMessage): Promise<void> {
    if (message.kind === 'begin') this.#transaction = message;
    else if (message.kind === 'relation') this.#relations.set(message.relation.id, message.relation);
    else if (message.kind === 'commit') await this.#committed(stream, message.endLsn);
    else await this.#change(message, lsn);
  }

  /** Transactions that came while the last ones were sent go together. */
  async #committed(stream: ReplicationStream, endLsn: bigint): Promise<void> {
    if (stream.hasMore && this.#records.length < recordsPerSendMax) return;
    await this.#send();
    this.#lagSeconds = Math.max(0, this.#options.clock.nowMs() - this.#transaction.commitMicros / 1_000) / 1_000;
    stream.acknowledge(endLsn);
  }

  async #change(message: ReplicationMessage, lsn: bigint): Promise<void> {
    const change = changeOf(message);
    if (change === undefined || !('relationId' in message)) return;
    const relation = this.#relations.get(message.relationId);
    if (relation === undefined) throw new StreamError('RECORD_CORRUPT', 'a change of a table that was not described');
    this.#add(relation, change, lsn);
    if (this.#records.length >= recordsPerSendMax) await this.#send();
  }

  #add(relation: Relation, change: RowChange, lsn: bigint): void {
    const { name, topic, clock } = this.#options;
    const { transactionId, commitMicros } = this.#transaction;
    const isSnapshot = change.op === 'r';
    const source: ChangeSource = { name, database: this.#database, transactionId, commitMicros, lsn, isSnapshot };
    const timestampMs = clock.nowMs();
    for (const record of recordsOf(relation, change, source)) this.#records.push({ topic, timestampMs, ...record });
  }

  async #send(): Promise<void> {
    const records = this.#records.splice(0);
    if (records.length === 0) return;
    await this.#producer?.send(batchesOf(records, this.#partitions));
    this.#eventCount += records.length;
  }
}

function changeOf(message: ReplicationMessage): RowChange | undefined {
  switch (message.kind) {
    case 'insert':
      return { op: 'c', after: message.after };
    case 'update':
      return { op: 'u', after: message.after, ...(message.before === undefined ? {} : { before: message.before }) };
    case 'delete':
      return { op: 'd', before: message.before };
    default:
      return undefined;
  }
}

async function withConnection(
  connectionString: string,
  work: (client: pg.Client) => Promise<void>,
  replication?: 'database',
): Promise<void> {
  const client = captureClient(connectionString, replication);
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

async function slotsOf(client: pg.Client): Promise<ReadonlySet<string>> {
  const { rows } = await client.query<{ name: string }>('SELECT slot_name AS name FROM pg_replication_slots');
  return new Set(rows.map(({ name }) => name));
}
