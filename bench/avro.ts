/** Avro with decimals and instants against the same records as canonical JSON: `node --import ./test/support/typescript-loader.js bench/avro.ts`. */
import { systemClock } from '../clock.ts';
import { createAvroSerdes } from '../schemas/avro/avro-serde.ts';
import { canonicalJsonSerde, type Serde } from '../schemas/serde.ts';

const count = 400_000;
const rounds = 5;

const schema = {
  type: 'record',
  name: 'Measured',
  fields: [
    { name: 'id', type: 'string' },
    { name: 'version', type: 'long' },
    { name: 'kind', type: { type: 'enum', name: 'Kind', symbols: ['CREDIT', 'DEBIT', 'HOLD'] } },
    { name: 'amount', type: { type: 'bytes', logicalType: 'decimal', precision: 20, scale: 8 } },
    { name: 'accountId', type: 'string' },
    { name: 'at', type: { type: 'long', logicalType: 'timestamp-micros' } },
    { name: 'reference', type: ['null', 'string'], default: null },
    { name: 'attempt', type: 'int' },
    { name: 'isFinal', type: 'boolean' },
    { name: 'rate', type: 'double' },
  ],
};

interface Measured {
  readonly id: string;
  readonly version: number;
  readonly kind: string;
  readonly amount: bigint;
  readonly accountId: string;
  readonly at: number;
  readonly reference: string | null;
  readonly attempt: number;
  readonly isFinal: boolean;
  readonly rate: number;
}

const records = Array.from({ length: 1_000 }, (_, index): Measured => ({
  id: `a1b2c3d4-0000-4000-8000-${String(index).padStart(12, '0')}`,
  version: index * 7,
  kind: ['CREDIT', 'DEBIT', 'HOLD'][index % 3] ?? 'HOLD',
  amount: BigInt(index) * 1_234_567_891n - 500_000_000n,
  accountId: `account-${String(index % 100)}`,
  at: 1_795_245_000_000_000 + index,
  reference: index % 2 === 0 ? null : `reference ${String(index)}`,
  attempt: index % 4,
  isFinal: index % 5 === 0,
  rate: index / 7,
}));

/** Records a CPU second, the best of several rounds; the first ones compile. */
function rateOf(work: (index: number) => void): number {
  let best = 0;
  for (let round = 0; round < rounds; round++) {
    const before = process.cpuUsage();
    for (let index = 0; index < count; index++) work(index % records.length);
    const { user, system } = process.cpuUsage(before);
    best = Math.max(best, (count / (user + system)) * 1e6);
  }
  return Math.round(best / 1_000) * 1_000;
}

function measure(name: string, serde: Serde<Measured>): void {
  const encoded = records.map((record) => serde.serialize(record));
  const bytes = encoded.reduce((sum, { length }) => sum + length, 0) / encoded.length;
  const rates = {
    serialize: rateOf((index) => void serde.serialize(records[index]!)),
    deserialize: rateOf((index) => void serde.deserialize(encoded[index]!)),
    both: rateOf((index) => void serde.deserialize(serde.serialize(records[index]!))),
  };
  console.log(JSON.stringify({ serde: name, bytesPerRecord: Math.round(bytes), recordsPerCpuSecond: rates }));
}

const registry = { register: async () => 1, schemaOf: async () => JSON.stringify(schema) };
const serdes = createAvroSerdes(registry, systemClock);
const avro = serdes.value('measured-value', { schema, level: 'FULL', parse: (value) => value as Measured });
await serdes.register();
await avro.prepare?.([avro.serialize(records[0]!)]);
measure('avro', avro);

const json = canonicalJsonSerde((value) => {
  const read = value as Measured & { readonly amount: string };
  return { ...read, amount: BigInt(read.amount) };
}) as Serde<unknown>;
measure('canonical JSON', {
  ...json,
  serialize: (record) => json.serialize({ ...record, amount: String(record.amount) }),
} as Serde<Measured>);
