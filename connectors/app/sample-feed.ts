/** Made-up customers for a first look: what the pollers of both systems would write, and captured Debezium records beside it. */
import { createHash } from 'node:crypto';
import type { Header } from '../../index.ts';
import type { SourceSystem } from '../../schemas/app/customer/fields.ts';
import { isoFromMicros } from '../../schemas/app/customer/instant.ts';
import { capturedRecordsOfA } from './fixtures/debezium-system-a.ts';

/** One record for a change topic. */
export interface FeedRecord {
  readonly source: SourceSystem;
  readonly key: Uint8Array | undefined;
  readonly value: Uint8Array | undefined;
  readonly headers: readonly Header[];
  readonly timestampMs: number;
}

export interface SampleFeedOptions {
  /** Uniform in [0, 1); with the same numbers and times the feed is the same. */
  readonly random: () => number;
  /** Read once per event; the events are from that time. */
  readonly nowMs: () => number;
  /** How many customers exist before changes begin. */
  readonly customers: number;
}

const firstNames = [
  'Ada',
  'Bruno',
  'Chiara',
  'Dilan',
  'Edith',
  'Farid',
  'Greta',
  'Hiro',
  'Ines',
  'Jonas',
  'Kaya',
  'Lucía',
];
const lastNames = ['Okafor', 'Lindqvist', 'Müller', 'Rossi', 'Tanaka', 'Novak', 'Silva', 'Haddad', 'O’Neill', 'Yılmaz'];
const streets = ['High Street', 'Lindenallee', 'Via Roma', 'Rue du Port', 'Mill Lane', 'Harbour Road'];
const contractTypes = ['basic', 'silver', 'gold'];

/** Addresses that the captured records have as well, so that a Debezium row and a poller's event meet. */
const capturedEmails = ['ann@example.test', 'cid@example.test'];

/** Ids of system A begin where those of the captured records have long ended. */
const firstIdOfA = 1001;

type Payload = Readonly<Record<string, string | number | null>>;

/** One record in one of the systems; `payload` is `undefined` while it is deleted. */
interface Row {
  readonly source: SourceSystem;
  readonly id: string | number;
  payload: Payload | undefined;
  /** As last written, to be written again. */
  last: { readonly operation: string; readonly payload: Payload; readonly updatedMs: number } | undefined;
  older: Row['last'];
}

interface Person {
  email: string;
  readonly rows: readonly Row[];
}

interface Tools {
  readonly nowMs: () => number;
  chance(): number;
  pick<T>(list: readonly T[]): T;
  digits(count: number): string;
}

function toolsOf({ random, nowMs }: SampleFeedOptions): Tools {
  const below = (count: number): number => Math.min(count - 1, Math.floor(random() * count));
  return {
    nowMs,
    chance: random,
    // The list is never empty, so the index always hits.
    pick: (list) => list[below(list.length)] as (typeof list)[number],
    digits: (count) => Array.from({ length: count }, () => below(10)).join(''),
  };
}

const bytes = (text: string): Uint8Array => Buffer.from(text, 'utf8');

/** An id made of what the event says, so that the same event has the same id however often it is sent. */
function contentId(...parts: readonly unknown[]): string {
  const hex = createHash('sha256').update(JSON.stringify(parts)).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), `5${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join(
    '-',
  );
}

function eventOf(row: Row, written: NonNullable<Row['last']>, sentMs: number): FeedRecord {
  const { operation, payload, updatedMs } = written;
  const lastUpdated = isoFromMicros(updatedMs * 1000);
  const value = {
    eventId: contentId(row.source, row.id, lastUpdated, payload),
    source: row.source,
    operation,
    timestamp: lastUpdated,
    payload: { [row.source === 'system_a' ? 'id' : 'uuid']: row.id, ...payload, lastUpdated },
  };
  return {
    source: row.source,
    key: bytes(String(payload['email'])),
    value: bytes(JSON.stringify(value)),
    headers: [],
    timestampMs: sentMs,
  };
}

/** Writes the row and returns the event; every write of a row is later than the one before. */
function write(row: Row, operation: string, payload: Payload, tools: Tools): FeedRecord {
  const nowMs = tools.nowMs();
  const updatedMs = Math.max(nowMs, (row.last?.updatedMs ?? 0) + 1);
  row.older = row.last;
  row.last = { operation, payload, updatedMs };
  row.payload = operation === 'DELETE' ? undefined : payload;
  return eventOf(row, row.last, Math.max(nowMs, updatedMs));
}

function newPayload(source: SourceSystem, email: string, name: string, tools: Tools): Payload {
  const address = `${tools.digits(2)} ${tools.pick(streets)}`;
  if (source === 'system_b') return { email, name, address, phone: `+49 ${tools.digits(3)} ${tools.digits(6)}` };
  const contractStartDate = `20${10 + Math.floor(tools.chance() * 15)}-0${1 + Math.floor(tools.chance() * 9)}-15`;
  return { email, name, address, contractStartDate, contractType: tools.pick(contractTypes) };
}

function uuidOf(tools: Tools): string {
  return `${tools.digits(8)}-${tools.digits(4)}-4${tools.digits(3)}-8${tools.digits(3)}-${tools.digits(12)}`;
}

/** Seven of ten customers are known to both systems, the others to one. The captured ones are added to system B. */
function newPerson(index: number, tools: Tools): Person {
  const known = capturedEmails[index];
  const first = tools.pick(firstNames);
  const last = tools.pick(lastNames);
  const plain = `${first}.${last}`
    .normalize('NFD')
    .replaceAll(/[^A-Za-z.]/g, '')
    .toLowerCase();
  const row = (source: SourceSystem): Row => ({
    source,
    id: source === 'system_a' ? firstIdOfA + index : uuidOf(tools),
    payload: undefined,
    last: undefined,
    older: undefined,
  });
  const draw = tools.chance();
  const sources: readonly SourceSystem[] =
    known !== undefined || draw >= 0.85 ? ['system_b'] : draw < 0.7 ? ['system_a', 'system_b'] : ['system_a'];
  return { email: known ?? `${plain}.${index}@example.test`, rows: sources.map(row) };
}

/** Both systems start from one name; the address is the same or, now and then, not. */
function* population(people: readonly Person[], tools: Tools): Generator<FeedRecord> {
  for (const { email, rows } of people) {
    const name = `${tools.pick(firstNames)} ${tools.pick(lastNames)}`;
    let address: string | number | null | undefined;
    for (const row of rows) {
      const payload = newPayload(row.source, email, name, tools);
      const isShared = address !== undefined && tools.chance() < 0.6;
      address = isShared ? address : payload['address'];
      yield write(row, 'CREATE', { ...payload, address: address ?? null }, tools);
    }
  }
}

type Happening = (person: Person, row: Row, payload: Payload, tools: Tools) => readonly FeedRecord[];

const changed =
  (next: (tools: Tools, payload: Payload, row: Row) => Payload): Happening =>
  (_person, row, payload, tools) => [write(row, 'UPDATE', { ...payload, ...next(tools, payload, row) }, tools)];

const movesHouse = changed((tools) => ({ address: `${tools.digits(2)} ${tools.pick(streets)}` }));

const changesContact = changed((tools, _payload, row) =>
  row.source === 'system_b'
    ? { phone: tools.chance() < 0.1 ? null : `+49 ${tools.digits(3)} ${tools.digits(6)}` }
    : { contractType: tools.pick(contractTypes) },
);

const changesName = changed((tools, payload) => ({
  name: `${String(payload['name']).split(' ')[0] ?? ''} ${tools.pick(lastNames)}`,
}));

/** The other system takes over the address: a conflict ends. */
const agrees: Happening = (person, row, payload, tools) =>
  person.rows
    .filter((other) => other !== row && other.payload !== undefined)
    .map((other) => write(other, 'UPDATE', { ...other.payload, address: payload['address'] ?? null }, tools));

/** A new e-mail reaches every system that knows the customer, one after the other. */
const changesEmail: Happening = (person, _row, _payload, tools) => {
  person.email = person.email.replace(/(\+\d+)?@/, `+${tools.digits(3)}@`);
  return person.rows.flatMap((row) =>
    row.payload === undefined ? [] : [write(row, 'UPDATE', { ...row.payload, email: person.email }, tools)],
  );
};

const leaves: Happening = (_person, row, payload, tools) => [write(row, 'DELETE', payload, tools)];

/** A poll that overlaps the one before: the same change again, or the one before that. */
const isPolledAgain: Happening = (_person, row, _payload, tools) => {
  const again = tools.chance() < 0.5 ? row.last : (row.older ?? row.last);
  return again === undefined ? [] : [eventOf(row, again, Math.max(tools.nowMs(), again.updatedMs))];
};

/** How often each thing happens, in percent. */
const happenings: readonly (readonly [percent: number, happening: Happening])[] = [
  [30, movesHouse],
  [25, changesContact],
  [5, changesName],
  [15, agrees],
  [8, changesEmail],
  [5, leaves],
  [12, isPolledAgain],
];

function happeningAt(percent: number): Happening {
  let sum = 0;
  for (const [share, happening] of happenings) {
    sum += share;
    if (percent < sum) return happening;
  }
  return movesHouse;
}

/**
 * An endless feed: first every customer is created in one or both systems, then they move, change numbers, contracts and e-mails, disagree
 * and agree, leave and come back, and now and then a change is polled twice.
 */
export function* sampleFeed(options: SampleFeedOptions): Generator<FeedRecord, never> {
  const tools = toolsOf(options);
  const people = Array.from({ length: Math.max(1, options.customers) }, (_, index) => newPerson(index, tools));
  yield* population(people, tools);
  while (true) {
    const person = tools.pick(people);
    const row = tools.pick(person.rows);
    if (row.payload === undefined)
      yield write(row, 'CREATE', newPayload(row.source, person.email, 'Back Again', tools), tools);
    else yield* happeningAt(tools.chance() * 100)(person, row, row.payload, tools);
  }
}

const milliFields = new Set(['ts_ms', 'updated_at']);

/** The value with every instant moved, so that captured records are as old as the feed. */
function moved(value: unknown, byMs: number): unknown {
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, entry]: [string, unknown]) => {
      if (typeof entry !== 'number') return [name, moved(entry, byMs)];
      if (milliFields.has(name)) return [name, entry === 0 ? 0 : entry + byMs];
      return [name, name === 'ts_us' ? entry + byMs * 1000 : entry];
    }),
  );
}

/**
 * Debezium records of system A as a database wrote them, moved in time so that the last one is from `endMs`: what the deciding parts of the
 * merge must get right, and one truncation that belongs into the dead letters.
 */
export function capturedRecords(endMs: number): readonly FeedRecord[] {
  const byMs = Math.floor(endMs) - Math.max(...capturedRecordsOfA.map(({ timestampMs }) => timestampMs));
  const json = (value: unknown): Uint8Array | undefined => (value === null ? undefined : bytes(JSON.stringify(value)));
  return capturedRecordsOfA.map(({ key, value, headers, timestampMs }) => ({
    source: 'system_a',
    key: json(key),
    value: json(moved(value, byMs)),
    headers: Object.entries(headers).map(([name, text]) => ({ key: name, value: bytes(text) })),
    timestampMs: timestampMs + byMs,
  }));
}
