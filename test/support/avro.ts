import { systemClock } from '../../clock.ts';
import { avroFormat, type RecordFormat } from '../../schemas/app/record-format.ts';
import { billingTopics } from '../../schemas/app/billing/topics.ts';
import { customerTopics } from '../../schemas/app/customer/topics.ts';
import { syncTopics } from '../../schemas/app/sync/topics.ts';
import { createAvroSerdes } from '../../schemas/avro/avro-serde.ts';
import { MemoryRegistry } from './memory-registry.ts';

/** Avro for all topics of the application, registered in memory. */
export async function registeredAvro(registry = new MemoryRegistry()): Promise<RecordFormat> {
  const serdes = createAvroSerdes(registry, systemClock);
  const format = avroFormat(serdes);
  customerTopics('', format);
  billingTopics('', format);
  syncTopics('', format);
  await serdes.register();
  return format;
}
