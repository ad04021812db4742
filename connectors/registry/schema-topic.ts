/** The compacted topic in which the embedded registry keeps what it knows. */
import { StreamError } from '../../errors.ts';
import { parseAvro } from '../../schemas/avro/avro-type.ts';
import { BatchBuilder } from '../../schemas/record-batch.ts';
import { noHeaders } from '../../schemas/record.ts';
import { compatibilityLevels } from '../../schemas/schema-registry.ts';
import type { Clock } from '../../clock.ts';
import type { FetchedBatch, Log, Producer } from '../log.ts';
import { textOf, type RegistryEntry } from './registry-state.ts';

const readWaitMs = 1_000;

/** The key of an entry: only its latest state is kept. */
function keyOf(entry: RegistryEntry): string {
  if ('setting' in entry) return JSON.stringify(['level', entry.setting.subject ?? null]);
  return JSON.stringify(['schema', entry.version.subject, entry.version.version]);
}

function valueOf(entry: RegistryEntry): string {
  if ('setting' in entry) return JSON.stringify({ setting: entry.setting });
  return JSON.stringify({ version: { ...entry.version, schema: textOf(entry.version.schema) } });
}

/** Only this registry writes here, so what does not fit is damage. */
function entryOf(bytes: Uint8Array): RegistryEntry {
  const read = JSON.parse(Buffer.from(bytes).toString('utf8')) as RegistryEntry;
  if ('setting' in read) {
    const { level } = read.setting;
    if (level === undefined || compatibilityLevels.includes(level)) return read;
    throw new StreamError('LOG_CORRUPT', 'the topic of schemas holds an unknown level');
  }
  return { version: { ...read.version, schema: parseAvro(read.version.schema as unknown as string) } };
}

export class SchemaTopic {
  readonly #log: Log;
  readonly #topic: string;
  readonly #clock: Clock;
  #producer: Producer | undefined;

  constructor(log: Log, topic: string, clock: Clock) {
    this.#log = log;
    this.#topic = topic;
    this.#clock = clock;
  }

  /** Everything that was kept, in order; the topic is made if it is not there. */
  async read(): Promise<readonly RegistryEntry[]> {
    const { admin } = this.#log;
    await admin.createTopics([{ name: this.#topic, partitions: 1, configs: { 'cleanup.policy': 'compact' } }]);
    const partition = { topic: this.#topic, partition: 0 };
    const [offsets] = await admin.offsets([partition]);
    const entries: RegistryEntry[] = [];
    if (offsets === undefined || offsets.start >= offsets.stable) return entries;
    const reader = this.#log.reader({ isolation: 'read_committed' });
    reader.seek(partition, offsets.start);
    try {
      while ((reader.position(partition)?.offset ?? 0) < offsets.stable) {
        const { batches, failures } = await reader.poll(readWaitMs);
        if (failures[0] !== undefined) throw failures[0].error;
        for (const batch of batches) entries.push(...entriesOf(batch));
      }
    } finally {
      await reader.close();
    }
    return entries;
  }

  /** Resolves when it is kept. After a failure nobody knows whether it was. */
  async write(entry: RegistryEntry): Promise<void> {
    this.#producer ??= await this.#log.producer({});
    const records = new BatchBuilder();
    records.append(this.#clock.nowMs(), Buffer.from(keyOf(entry)), Buffer.from(valueOf(entry)), noHeaders);
    try {
      await this.#producer.send([{ topic: this.#topic, partition: 0, records }]);
    } catch (error) {
      const lost = this.#producer;
      this.#producer = undefined;
      await lost.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#producer?.close();
    this.#producer = undefined;
  }
}

function* entriesOf(batch: FetchedBatch): Generator<RegistryEntry> {
  const cursor = batch.cursor();
  while (cursor.next()) {
    const value = cursor.value();
    if (value !== undefined) yield entryOf(value);
  }
}
