/** How values of the application's topics are written: as canonical JSON, or as Avro under a schema registry. */
import { bytesSerde, type AvroSerdes, type AvroValue, type ForeignRecord, type Serde } from '../../index.ts';

/** A value in both forms. Whatever the format, JSON that lies in a topic is read. */
export interface DeclaredValue<T> {
  readonly json: Serde<T>;
  readonly avro: Omit<AvroValue<T>, 'json'>;
}

/** What arrives where others write: bytes, or Avro that was read with the schema of its writer. */
export type EdgeValue = Uint8Array | ForeignRecord;

export interface RecordFormat {
  /** The same serde for the same topic. */
  value<T>(topic: string, declared: DeclaredValue<T>): Serde<T>;
  readonly edge: Serde<EdgeValue>;
}

export const jsonFormat: RecordFormat = { value: (_topic, declared) => declared.json, edge: bytesSerde };

/** Subjects are named after their topics: `<topic>-value`. */
export function avroFormat(serdes: AvroSerdes): RecordFormat {
  const known = new Map<string, Serde<unknown>>();
  return {
    value: <T>(topic: string, { json, avro }: DeclaredValue<T>): Serde<T> => {
      const made = known.get(topic) as Serde<T> | undefined;
      if (made !== undefined) return made;
      const serde = serdes.value(`${topic}-value`, { ...avro, json: (bytes) => json.deserialize(bytes) });
      known.set(topic, serde);
      return serde;
    },
    edge: serdes.foreign,
  };
}
