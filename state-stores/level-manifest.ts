import { LogScan, logBlockBytes } from './level-log-format.ts';
import { VarintReader } from './level-varint.ts';

/** Which files make up the database, as its manifest says. */
export interface Manifest {
  /** Numbers of the live tables with their sizes in bytes. */
  readonly tables: ReadonlyMap<number, number>;
  /** Logs with lower numbers are obsolete. */
  readonly logNumber: number;
}

/** Reads a manifest; throws a `RangeError` if it is damaged or its end is missing. */
export function readManifest(bytes: Buffer): Manifest {
  const state: { readonly tables: Map<number, number>; logNumber: number } = { tables: new Map(), logNumber: 0 };
  const scan = new LogScan((record) => {
    applyEdit(record, state);
  });
  for (let at = 0; at < bytes.length; at += logBlockBytes)
    if (!scan.add(bytes.subarray(at, at + logBlockBytes))) throw new RangeError('the manifest has a hole');
  if (scan.end === 'torn') throw new RangeError('the manifest has lost its end');
  return state;
}

interface ManifestState {
  readonly tables: Map<number, number>;
  logNumber: number;
}

type EditField = (reader: VarintReader, state: ManifestState) => void;

const skipNumber: EditField = (reader) => {
  reader.number();
};

/** By the tags of LevelDB's version edits. */
const editFields: Readonly<Record<number, EditField>> = {
  1: (reader) => {
    reader.slice();
  },
  2: (reader, state) => {
    state.logNumber = reader.number();
  },
  3: skipNumber,
  4: skipNumber,
  5: (reader) => {
    reader.number();
    reader.slice();
  },
  6: (reader, state) => {
    reader.number();
    state.tables.delete(reader.number());
  },
  7: (reader, state) => {
    reader.number();
    const number = reader.number();
    state.tables.set(number, reader.number());
    reader.slice();
    reader.slice();
  },
  9: skipNumber,
};

function applyEdit(record: Buffer, state: ManifestState): void {
  const reader = new VarintReader(record);
  while (!reader.isAtEnd) {
    const field = editFields[reader.number()];
    if (field === undefined) throw new RangeError('the manifest has an unknown entry');
    field(reader, state);
  }
}
