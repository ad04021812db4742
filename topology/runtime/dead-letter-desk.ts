/** Dead letters for operators: looked at, replayed into the application's private topics, or discarded. Each is decided on once. */
import type { Clock, Random } from '../../clock.ts';
import type { Log, OutgoingBatch } from '../../connectors/log.ts';
import { StreamError, hasCode } from '../../errors.ts';
import { BatchBuilder } from '../../schemas/record-batch.ts';
import type { Header } from '../../schemas/record.ts';
import type { Topology } from '../graph.ts';
import { internalTopicName, physicalName } from '../plan.ts';
import { decisionsOf, type Decision, type Decisions } from './dead-letter-decisions.ts';
import { discardHeaders, readDeadLetter, replayHeaders, type DeadLetter } from './dead-letter-record.ts';
import { readRange } from './read-range.ts';
import { Exclusive } from './signal.ts';

/** Dead letters a page may have, and records looked at for one. */
export const deskLimits = { pageMax: 500, pageDefault: 50, scanMax: 10_000, reasonChars: 500, byChars: 100 } as const;
/** Times that a decision whose fate is unknown is looked up and made again. */
const decideAttemptsMax = 3;

export interface DeskOptions {
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  readonly applicationId: string;
  readonly topology: Topology;
}

export interface DeadLetterQuery {
  /** Where to go on: `next` of the page before. */
  readonly cursor?: string;
  readonly limit?: number;
  readonly state?: DeadLetterState;
  readonly code?: string;
  readonly reason?: string;
  readonly topic?: string;
  readonly node?: string;
}

export type DeadLetterState = 'open' | Decision['state'];

export interface ListedDeadLetter extends DeadLetter {
  readonly state: DeadLetterState;
  readonly decision: Decision | undefined;
}

export interface DeadLetterPage {
  readonly items: readonly ListedDeadLetter[];
  /** `undefined` at the end. A page may have fewer items than asked for, even none, and not be the last. */
  readonly next: string | undefined;
}

export interface Discard {
  readonly by: string;
  readonly reason: string;
}

/** Of one application. Every method rejects with `LOG_UNAVAILABLE` while the log cannot be asked. */
export interface DeadLetterDesk {
  readonly applicationId: string;
  /** In the order of the dead-letter topic's partitions. Rejects with `QUERY_INVALID`. */
  list(query: DeadLetterQuery): Promise<DeadLetterPage>;
  /** Rejects with `DEAD_LETTER_UNKNOWN`. */
  show(id: string): Promise<ListedDeadLetter>;
  /**
   * Appends the record to the private topic from which its source reads it again, in one transaction with the decision: however often and by whoever it is
   * called, it is appended once. Rejects with `DEAD_LETTER_UNKNOWN`, `DEAD_LETTER_DECIDED`.
   */
  replay(id: string, by: string): Promise<Decision>;
  /** Notes that it will never be replayed; records that wait for it go on. Rejects as `replay`. */
  discard(id: string, discard: Discard): Promise<Decision>;
}

/** Throws `CONFIG_INVALID` for a topology without a dead-letter topic. */
export function createDeadLetterDesk(options: DeskOptions): DeadLetterDesk {
  const { deadLetterTopic } = options.topology.settings;
  if (deadLetterTopic === undefined)
    throw new StreamError('CONFIG_INVALID', `topology ${options.topology.name} has no dead-letter topic`);
  return new Desk(options, deadLetterTopic);
}

/** In the dead-letter topic. */
interface DeadLetterPlace {
  readonly partition: number;
  readonly offset: number;
}

class Desk implements DeadLetterDesk {
  readonly applicationId: string;
  readonly #options: DeskOptions;
  readonly #topic: string;
  readonly #decisions: Decisions;
  readonly #exclusive = new Exclusive();

  constructor(options: DeskOptions, topic: string) {
    this.#options = options;
    this.#topic = topic;
    this.applicationId = options.applicationId;
    this.#decisions = decisionsOf(options);
  }

  async list(query: DeadLetterQuery): Promise<DeadLetterPage> {
    const limit = checkLimit(query.limit ?? deskLimits.pageDefault);
    const start = query.cursor === undefined ? { partition: 0, offset: 0 } : parseId(query.cursor);
    await this.#exclusive.run(() => this.#decisions.refresh());
    const items: ListedDeadLetter[] = [];
    let scanned = 0;
    for await (const { id, letter } of this.#from(start)) {
      if (items.length >= limit || scanned >= deskLimits.scanMax) return { items, next: id };
      scanned += 1;
      if (letter !== undefined && isWanted(letter, query)) items.push(letter);
    }
    return { items, next: undefined };
  }

  /** Every record of the dead-letter topic from there on, ours or not. */
  async *#from(start: DeadLetterPlace): AsyncGenerator<{ id: string; letter: ListedDeadLetter | undefined }> {
    const { log } = this.#options;
    const topic = this.#topic;
    const partitions = await this.#partitions();
    for (let { partition, offset } = start; partition < partitions; partition += 1, offset = 0) {
      const [range] = await log.admin.offsets([{ topic, partition }]);
      if (range === undefined) return;
      const from = Math.max(offset, range.start);
      for await (const record of readRange(log, { topic, partition, from, to: range.stable }))
        yield {
          id: `${String(partition)}-${String(record.offset)}`,
          letter: this.#listed(readDeadLetter(record, partition)),
        };
    }
  }

  async show(id: string): Promise<ListedDeadLetter> {
    await this.#exclusive.run(() => this.#decisions.refresh());
    return await this.#find(id);
  }

  async replay(id: string, by: string): Promise<Decision> {
    const letter = await this.#find(id);
    const batch = await this.#comingBack(letter, replayHeaders(letter));
    return await this.#decide(letter, { state: 'replayed', by, target: batch.topic }, [batch]);
  }

  async #comingBack(letter: DeadLetter, headers: readonly Header[]): Promise<OutgoingBatch> {
    const target = await this.#replayTarget(letter);
    const records = new BatchBuilder();
    records.append(letter.timestampMs, letter.key, letter.value, headers);
    return { ...target, records };
  }

  async discard(id: string, { by, reason }: Discard): Promise<Decision> {
    const letter = await this.#find(id);
    const batches = letter.parksKey ? [await this.#comingBack(letter, discardHeaders(letter))] : [];
    return await this.#decide(letter, { state: 'discarded', by, reason }, batches);
  }

  /** One transaction: the fresh producer ends whatever another operator has open, and is ended by the next one. */
  async #decide(
    letter: DeadLetter,
    made: Pick<Decision, 'state' | 'by' | 'reason' | 'target'>,
    batches: readonly OutgoingBatch[],
  ): Promise<Decision> {
    const { log, clock, random } = this.#options;
    const decision: Decision = { ...made, id: random.uuid(), at: clock.nowMs() };
    return await this.#exclusive.run(async () => {
      for (let attempt = 1; ; attempt += 1) {
        await this.#decisions.prepare();
        const producer = await log.producer({ transactionalId: `${this.applicationId}-dead-letter-desk` });
        try {
          // After the producer is made nothing of others is under way: what is read now is all there is.
          const present = await this.#decisions.find(letter.originId);
          if (present?.id === decision.id) return present;
          if (present !== undefined) throw decided(letter, present);
          producer.begin();
          await producer.send([...batches, this.#decisions.batch(letter.originId, decision)]);
          await producer.commit();
          return decision;
        } catch (error) {
          if (!hasCode(error, 'COMMIT_INDEFINITE', 'PRODUCER_FENCED') || attempt >= decideAttemptsMax) throw error;
        } finally {
          await producer.close();
        }
      }
    });
  }

  async #find(id: string): Promise<ListedDeadLetter> {
    const { partition, offset } = parseId(id);
    const range =
      partition < (await this.#partitions())
        ? (await this.#options.log.admin.offsets([{ topic: this.#topic, partition }]))[0]
        : undefined;
    if (range !== undefined && offset >= range.start && offset < range.stable)
      for await (const record of readRange(this.#options.log, {
        topic: this.#topic,
        partition,
        from: offset,
        to: offset + 1,
      })) {
        const letter = this.#listed(readDeadLetter(record, partition));
        if (record.offset === offset && letter !== undefined) return letter;
      }
    throw new StreamError('DEAD_LETTER_UNKNOWN', 'there is no such dead letter of this application', {
      facts: { application: this.applicationId, id },
    });
  }

  /** `undefined` for one of another application, and for records that are no dead letters. */
  #listed(letter: DeadLetter | undefined): ListedDeadLetter | undefined {
    if (letter?.application !== this.applicationId) return undefined;
    const decision = this.#decisions.known(letter.originId);
    return { ...letter, state: decision?.state ?? 'open', decision };
  }

  async #partitions(): Promise<number> {
    const described = await this.#options.log.admin.describeTopics([this.#topic]);
    return described.get(this.#topic)?.partitions ?? 0;
  }

  /** The private topic of the source that read it: its internal topic itself, or the replay topic beside a topic of the user. */
  async #replayTarget(letter: DeadLetter): Promise<{ topic: string; partition: number }> {
    const { topic: origin, partition } = letter.origin;
    const { topology, log } = this.#options;
    const sources = topology.nodes.flatMap((node) => (node.kind === 'source' ? node.topics : []));
    const source = sources.find((reference) => physicalName(this.applicationId, reference) === origin);
    const topic = source?.internal === undefined ? internalTopicName(this.applicationId, origin, 'replay') : origin;
    const described = source === undefined ? undefined : (await log.admin.describeTopics([topic])).get(topic);
    if (described === undefined || partition >= described.partitions)
      throw new StreamError('DEAD_LETTER_UNKNOWN', 'the topology does not read the topic it came from any more', {
        facts: { application: this.applicationId, topic: origin, partition },
      });
    return { topic, partition };
  }
}

function decided({ id }: DeadLetter, { state, by, at }: Decision): StreamError {
  return new StreamError('DEAD_LETTER_DECIDED', `it was ${state} before, and is so once`, {
    facts: { id, state, by, at },
  });
}

/** Throws `QUERY_INVALID`. */
function checkLimit(limit: number): number {
  if (Number.isInteger(limit) && limit >= 1 && limit <= deskLimits.pageMax) return limit;
  throw new StreamError('QUERY_INVALID', `limit must be from 1 to ${String(deskLimits.pageMax)}`);
}

function isWanted(letter: ListedDeadLetter, { state, code, reason, topic, node }: DeadLetterQuery): boolean {
  return (
    (state === undefined || letter.state === state) &&
    (code === undefined || letter.code === code) &&
    (reason === undefined || letter.reason === reason) &&
    (topic === undefined || letter.origin.topic === topic) &&
    (node === undefined || letter.node === node)
  );
}

/** Throws `QUERY_INVALID`. */
function parseId(id: string): DeadLetterPlace {
  const [, partition = '', offset = ''] = /^(\d{1,9})-(\d{1,15})$/.exec(id) ?? [];
  if (partition === '')
    throw new StreamError('QUERY_INVALID', 'a dead letter is named <partition>-<offset> in the dead-letter topic');
  return { partition: Number(partition), offset: Number(offset) };
}
