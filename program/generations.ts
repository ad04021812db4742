/**
 * Runs an application that only derives state, and makes that state anew beside what answers: each generation is an application of its own, under
 * `<name>-g<number>`. Which one answers is one record of a compacted topic, so that the change is one for all processes.
 */
import type { RebuildProgress } from '../api/app/projection.ts';
import type { Clock, Logger } from '../clock.ts';
import type { Log, Reader } from '../connectors/log.ts';
import { StreamError, hasCode } from '../errors.ts';
import { noHeaders, topicPartitions, type TopicPartition } from '../schemas/record.ts';
import { BatchBuilder } from '../schemas/record-batch.ts';
import type { Stores } from '../state-stores/store.ts';
import type { StreamInstance } from '../topology/runtime/stream-instance.ts';

export interface GenerationsOptions {
  /** Of the application, without a generation. */
  readonly name: string;
  /** Compacted, one partition: which generation of which application answers. */
  readonly topic: string;
  /** What the application reads. */
  readonly inputs: readonly string[];
  readonly log: Log;
  readonly stores: Stores;
  readonly clock: Clock;
  readonly logger: Logger;
  /** `isStrict`: while it is being built, a record that cannot be handled is the end of it. */
  readonly create: (applicationId: string, isStrict: () => boolean) => StreamInstance;
  /** Told which instance answers from now on, and which did before. */
  readonly serve: (now: StreamInstance, before: StreamInstance | undefined) => void;
}

interface State {
  readonly serving: number;
  readonly building?: number;
  /** Where the inputs ended when building began, in the order of topic and partition. */
  readonly ends?: readonly number[];
}

const lookEveryMs = 250;
/** Between two looks for a topic that is missing. */
const missingEveryMs = 1_000;
/** For an instance that is not needed any more. */
const retireMs = 10_000;
const firstState: State = { serving: 1 };

export class Generations {
  readonly #options: GenerationsOptions;
  readonly #instances = new Map<number, StreamInstance>();
  readonly #controller = new AbortController();
  #state = firstState;
  #reader: Reader | undefined;
  /** Everything below is read. */
  #next = 0;
  #reading: Promise<void> = Promise.resolve();
  #loop: Promise<void> = Promise.resolve();
  #served: StreamInstance | undefined;

  constructor(options: GenerationsOptions) {
    this.#options = options;
  }

  /** Resolves once the generation that answers takes part in its group, waiting for the log and for missing topics; follows the topic from then on. */
  async start(): Promise<void> {
    while (!this.#controller.signal.aborted && !(await this.#isRead()))
      await this.#options.clock.sleep(missingEveryMs, this.#controller.signal);
    if (this.#controller.signal.aborted) return;
    await this.#follow();
    await this.#removeFiles();
    await this.#served?.start();
    this.#loop = this.#run();
  }

  /** Begins a generation, unless one is being built already and has not failed here. It will answer once it has read everything. */
  async rebuild(): Promise<RebuildProgress> {
    await this.#readAll();
    const { serving, building } = this.#state;
    if (building === undefined || this.#instances.get(building)?.state === 'failed') {
      const next = Math.max(serving, building ?? 0) + 1;
      await this.#forgetBefore(next);
      const ranges = await this.#options.log.admin.offsets(await this.#inputs());
      await this.#write({ serving, building: next, ends: ranges.map(({ stable }) => stable) });
      await this.#readAll();
    }
    return await this.progress();
  }

  async progress(): Promise<RebuildProgress> {
    const { serving, building, ends = [] } = this.#state;
    if (building === undefined) return { serving };
    const inputs = await this.#inputs();
    const reached = await this.#committed(building, inputs);
    const done = ends.reduce((sum, end, index) => sum + Math.min(end, reached[index] ?? 0), 0);
    const total = ends.reduce((sum, end) => sum + end, 0);
    const instance = this.#instances.get(building);
    const failure = instance?.failure === undefined ? {} : { failure: instance.failure.code };
    const hasFailed = instance?.state === 'failed' ? { hasFailed: true as const } : {};
    return { serving, building: { generation: building, done, total, ...failure, ...hasFailed } };
  }

  /** Closes all instances. */
  async close(): Promise<boolean> {
    this.#controller.abort();
    this.#reader?.wakeup();
    await this.#loop;
    await this.#reader?.close();
    const closed = await Promise.all([...this.#instances.values()].map((one) => one.close({ timeoutMs: retireMs })));
    return closed.every(Boolean);
  }

  #applicationId(generation: number): string {
    return `${this.#options.name}-g${String(generation)}`;
  }

  async #run(): Promise<void> {
    const { clock, logger } = this.#options;
    const { signal } = this.#controller;
    while (!signal.aborted) {
      try {
        await this.#readAll();
        await this.#follow();
        if (this.#state.building !== undefined && (await this.#isComplete(this.#state.building)))
          await this.#write({ serving: this.#state.building });
      } catch (error) {
        // Another look is as good as a later one: nothing is begun that is not in the topic.
        const isFinal = !(error instanceof StreamError) || error.retry === 'never';
        logger[isFinal ? 'error' : 'warn']('generations cannot be followed', { error });
        if (isFinal) return;
      }
      await clock.sleep(lookEveryMs, signal);
    }
  }

  // ---- what runs here ------------------------------------------------------------------------------------------------

  /** Makes what runs here what the topic says. */
  async #follow(): Promise<void> {
    const { serving, building = serving } = this.#state;
    for (const generation of new Set([serving, building]))
      if (!this.#instances.has(generation))
        this.#begin(generation, generation !== serving || this.#served !== undefined);
    const now = this.#instances.get(serving);
    if (now !== undefined && now !== this.#served) {
      this.#options.serve(now, this.#served);
      this.#served = now;
    }
    for (const [generation, instance] of [...this.#instances])
      if (generation !== serving && generation !== building) await this.#retire(generation, instance);
  }

  #begin(generation: number, isStarted: boolean): void {
    const instance = this.#options.create(this.#applicationId(generation), () => this.#state.serving !== generation);
    this.#instances.set(generation, instance);
    if (!isStarted) return;
    instance.start().catch((error: unknown) => {
      this.#options.logger.error('a generation could not be started', { generation, error });
    });
  }

  async #retire(generation: number, instance: StreamInstance): Promise<void> {
    this.#instances.delete(generation);
    await instance.close({ timeoutMs: retireMs, leaveGroup: true });
    await this.#removeFiles();
    this.#options.logger.info('a generation was retired', { applicationId: this.#applicationId(generation) });
  }

  /** Of all generations that do not run here: a process may end before it has removed what it retires. */
  async #removeFiles(): Promise<void> {
    const { stores, name } = this.#options;
    const kept = new Set([...this.#instances.keys()].map(String));
    for (const { path } of await stores.list()) {
      const [application = ''] = path;
      const generation = application.startsWith(`${name}-g`) ? application.slice(`${name}-g`.length) : '';
      if (/^\d+$/.test(generation) && !kept.has(generation)) await stores.destroy(path);
    }
  }

  // ---- what is known of the log --------------------------------------------------------------------------------------

  /** It has read what there was when it began, and all that the one that answers had read a moment ago. */
  async #isComplete(building: number): Promise<boolean> {
    const { serving, ends = [] } = this.#state;
    const inputs = await this.#inputs();
    const served = await this.#committed(serving, inputs);
    const reached = await this.#committed(building, inputs);
    for (const [index, input] of inputs.entries()) {
      const target = Math.max(ends[index] ?? 0, served[index] ?? 0);
      if ((reached[index] ?? 0) < target && !(await this.#isEmpty(input, reached[index] ?? 0, target))) return false;
    }
    return true;
  }

  async #inputs(): Promise<readonly TopicPartition[]> {
    const described = await this.#options.log.admin.describeTopics(this.#options.inputs);
    return this.#options.inputs.flatMap((topic) => topicPartitions(topic, described.get(topic)?.partitions));
  }

  async #committed(generation: number, inputs: readonly TopicPartition[]): Promise<readonly number[]> {
    const { admin } = this.#options.log;
    const offsets = await admin.committed(this.#applicationId(generation), inputs, { requireStable: false });
    return offsets.map((known) => known?.offset ?? 0);
  }

  /** Whether there is no record between two offsets, only ends of transactions: nobody commits their positions for their own sake. */
  async #isEmpty(input: TopicPartition, from: number, to: number): Promise<boolean> {
    const reader = this.#options.log.reader({ isolation: 'read_committed' });
    try {
      reader.seek(input, from);
      while (!this.#controller.signal.aborted) {
        const { batches, failures } = await reader.poll(lookEveryMs);
        for (const batch of batches) {
          if (batch.cursor().next()) return false;
          if (batch.nextOffset >= to) return true;
        }
        const [failure] = failures;
        if (failure !== undefined) throw failure.error;
        if ((reader.position(input)?.offset ?? 0) >= to) return true;
      }
      return false;
    } finally {
      await reader.close();
    }
  }

  /** Removes internal topics of generations that have long been replaced, or were given up. */
  async #forgetBefore(next: number): Promise<void> {
    const { admin } = this.#options.log;
    const all = Array.from({ length: next - 1 }, (_, index) => index + 1);
    const old = all.filter((one) => one !== this.#state.serving).map((one) => `${this.#applicationId(one)}-`);
    const topics = (await admin.listTopics()).filter((name) => old.some((prefix) => name.startsWith(prefix)));
    if (topics.length > 0) await admin.deleteTopics(topics);
  }

  // ---- the record that says which one answers ------------------------------------------------------------------------

  /** False while the topic is not there, or the log does not answer. */
  async #isRead(): Promise<boolean> {
    try {
      await this.#readAll();
      return true;
    } catch (error) {
      if (hasCode(error, 'TOPIC_UNKNOWN', 'LOG_UNAVAILABLE')) return false;
      throw error;
    }
  }

  /** One reads at a time. */
  async #readAll(): Promise<void> {
    const reading = this.#reading.then(() => this.#readOn());
    this.#reading = reading.catch(() => undefined);
    await reading;
  }

  async #readOn(): Promise<void> {
    const { log, topic } = this.#options;
    const input = { topic, partition: 0 };
    const [{ start, stable } = { start: 0, stable: 0 }] = await log.admin.offsets([input]);
    if (this.#reader === undefined) {
      this.#reader = log.reader({ isolation: 'read_committed' });
      this.#reader.seek(input, start);
      this.#next = start;
    }
    while (this.#next < stable && !this.#controller.signal.aborted) {
      const { batches, failures } = await this.#reader.poll(lookEveryMs);
      const [failure] = failures;
      if (failure !== undefined) throw failure.error;
      for (const batch of batches) {
        const cursor = batch.cursor();
        while (cursor.next()) this.#take(cursor.key(), cursor.value());
        this.#next = batch.nextOffset;
      }
    }
  }

  #take(key: Uint8Array | undefined, value: Uint8Array | undefined): void {
    if (key === undefined || value === undefined || Buffer.from(key).toString() !== this.#options.name) return;
    this.#state = parseState(JSON.parse(Buffer.from(value).toString()));
  }

  async #write(state: State): Promise<void> {
    const { log, topic, name, clock } = this.#options;
    const records = new BatchBuilder();
    records.append(clock.nowMs(), Buffer.from(name), Buffer.from(JSON.stringify(state)), noHeaders);
    const producer = await log.producer({});
    try {
      await producer.send([{ topic, partition: 0, records }]);
    } finally {
      await producer.close();
    }
  }
}

function parseState(value: unknown): State {
  const { serving, building, ends } = (value ?? {}) as Readonly<Record<string, unknown>>;
  const isCount = (count: unknown): count is number => Number.isSafeInteger(count) && Number(count) >= 0;
  if (!isCount(serving)) throw new StreamError('DESERIALIZATION_FAILED', 'no record of generations');
  if (!isCount(building) || !Array.isArray(ends)) return { serving };
  return { serving, building, ends: ends.filter(isCount) };
}
