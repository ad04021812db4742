/** What a store's directory says of itself: whose it is, how far it is, and which of its last batches it holds. */
import { StreamError } from '../errors.ts';
import type { LevelDatabase } from './level-database.ts';
import { corrupt } from './level-error.ts';
import { metadataKind, type EntryFramer } from './level-row.ts';
import type { Position, StoreIdentity } from './store.ts';

/** Version of the directory's own layout: kinds, metadata, checksums. */
const layout = 2;

/** Batches whose sequence numbers are kept; a hole among them is noticed when the store is opened. */
export const ringSlots = 4096;

const identityKey = Buffer.of(metadataKind, 0x69);
const stateKey = Buffer.of(metadataKind, 0x73);
const ringPrefix = Buffer.of(metadataKind, 0x62);
const afterRing = Buffer.of(metadataKind, 0x63);

export interface StoreState {
  /** Number of the last batch; the one that creates the store is 0. */
  readonly sequence: number;
  readonly position: Position | undefined;
  readonly savedAtMs: number | undefined;
}

type Sealed = ReturnType<EntryFramer['seal']>;

function ringKey(slot: number): Buffer {
  const key = Buffer.allocUnsafe(ringPrefix.length + 2);
  key.set(ringPrefix);
  key.writeUInt16BE(slot, ringPrefix.length);
  return key;
}

function int64(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigInt64BE(BigInt(value));
  return bytes;
}

/** The entries that every batch holds besides its rows; `put` is called for each and must copy what it gets. */
export function putState(framer: EntryFramer, state: StoreState, put: (entry: Sealed) => void): void {
  const sequence = int64(state.sequence);
  put(framer.seal(stateKey, Buffer.concat([sequence, int64(state.position ?? -1), int64(state.savedAtMs ?? -1)])));
  put(framer.seal(ringKey(state.sequence % ringSlots), sequence));
}

/** The entries of the batch that creates a store. */
export function putIdentity(framer: EntryFramer, identity: StoreIdentity, put: (entry: Sealed) => void): void {
  put(framer.seal(identityKey, Buffer.from(JSON.stringify(describe(identity)), 'utf8')));
  putState(framer, { sequence: 0, position: undefined, savedAtMs: undefined }, put);
}

function describe(identity: StoreIdentity): Readonly<Record<string, string | number>> {
  const { application, store, taskId, format, changelog } = identity;
  return { layout, application, store, taskId, format, changelog };
}

/**
 * Reads and checks the metadata of an opened directory. Throws `STORE_FOREIGN` if it belongs to another identity, `STORE_CORRUPT` if it says nothing of
 * itself or a batch among the last `ringSlots` is missing.
 */
export async function readState(
  database: LevelDatabase,
  framer: EntryFramer,
  identity: StoreIdentity,
): Promise<StoreState> {
  checkIdentity(read(database, framer, identityKey), identity);
  const state = read(database, framer, stateKey);
  if (state.length !== 24) throw corrupt('its state is unreadable', {});
  const sequence = Number(state.readBigInt64BE(0));
  const position = Number(state.readBigInt64BE(8));
  await checkRing(database, framer, sequence);
  const savedAtMs = Number(state.readBigInt64BE(16));
  return {
    sequence,
    position: position < 0 ? undefined : position,
    savedAtMs: savedAtMs < 0 ? undefined : savedAtMs,
  };
}

function read(database: LevelDatabase, framer: EntryFramer, key: Uint8Array): Buffer {
  const sealed = database.getSync(key);
  if (sealed === undefined) throw corrupt('its metadata is missing', {});
  return Buffer.from(framer.open(key, sealed));
}

function checkIdentity(stored: Buffer, identity: StoreIdentity): void {
  const wanted = describe(identity);
  const found = JSON.parse(stored.toString('utf8')) as Readonly<Record<string, unknown>>;
  const differing = Object.keys(wanted).filter((field) => found[field] !== wanted[field]);
  if (differing.length > 0)
    throw new StreamError('STORE_FOREIGN', 'store directory belongs to another store', { facts: { differing } });
}

async function checkRing(database: LevelDatabase, framer: EntryFramer, sequence: number): Promise<void> {
  const iterator = database.iterator({ gte: ringPrefix, lt: afterRing, highWaterMarkBytes: 1024 * 1024 });
  let slot = 0;
  try {
    for (let entries = await iterator.nextv(ringSlots); entries.length > 0; entries = await iterator.nextv(ringSlots))
      for (const [key, sealed] of entries) {
        const found = Number(Buffer.from(framer.open(key, sealed)).readBigInt64BE(0));
        if (!ringKey(slot).equals(key) || found !== lastInSlot(slot, sequence))
          throw corrupt('a batch is missing', { sequence });
        slot += 1;
      }
  } finally {
    await iterator.close();
  }
  if (slot !== Math.min(sequence + 1, ringSlots)) throw corrupt('a batch is missing', { sequence });
}

/** The highest number up to `sequence` that falls into the slot. */
function lastInSlot(slot: number, sequence: number): number {
  return sequence - ((((sequence - slot) % ringSlots) + ringSlots) % ringSlots);
}
