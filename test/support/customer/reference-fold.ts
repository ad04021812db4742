/**
 * What `customer.merged` must hold after all inputs, computed the naive way: replay every source record on its own, then look at each e-mail
 * once. It shares no code with the merge: only the types of its inputs. Default policy.
 *
 * Changes may be given in any interleaving that keeps the order of each source record; lists of overrides in the order of their topic.
 */
import type { CustomerChange, SourceChange } from '../../../schemas/app/customer/change.ts';
import type { StewardOverride } from '../../../schemas/app/customer/override.ts';

export interface OverrideInput {
  readonly email: string;
  readonly overrides: readonly StewardOverride[] | null;
}

export interface ReferenceCustomer {
  /** Canonical JSON, or `null` if no source record contributes. */
  readonly json: string | null;
  /** Accepted changes, also of an e-mail that is gone. */
  readonly version: number;
}

type Moment = [number, number, string];

interface Told {
  text: string | null;
  since: number;
  timed: boolean;
  roughly: boolean;
}

/** A source record while it lives. */
interface Life {
  email: string | undefined;
  emailRaw: string | undefined;
  told: Map<string, Told>;
  updatedAt: number | undefined;
}

/** Everything that happened to one source record. */
interface Biography {
  system: string;
  id: string;
  born: number;
  accepted: number;
  at: Moment;
  lastEvent: string;
  life: Life | undefined;
  /** The next tombstone is explained by a deletion that came too late. */
  explained: boolean;
  /** E-mails it left: when, and when it was first seen. */
  left: Map<string, number>;
}

const own: Record<string, string[]> = {
  system_a: ['name', 'address', 'contractStart', 'contractType'],
  system_b: ['name', 'address', 'phone'],
};
const every = ['name', 'address', 'phone', 'contractStart', 'contractType'];

function json(value: unknown): string {
  if (Array.isArray(value)) return '[' + value.map(json).join(',') + ']';
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const object = value as Record<string, unknown>;
  const names = Object.keys(object).filter((name) => object[name] !== undefined);
  names.sort((x, y) => (x < y ? -1 : 1));
  return '{' + names.map((name) => JSON.stringify(name) + ':' + json(object[name])).join(',') + '}';
}

function same(field: string, text: string): string {
  const folded = text.normalize('NFC').trim().split(/\s+/u).join(' ');
  if (field === 'name') return folded.toLowerCase();
  if (field === 'address') return folded;
  if (field === 'phone') {
    const digits = text.replace(/[^0-9]/g, '');
    return digits === '' ? folded : digits;
  }
  return text;
}

function nameOf(change: SourceChange): string {
  return (change.source === 'system_a' ? 'a' : 'b') + ':' + change.sourceId;
}

class Archive {
  readonly people = new Map<string, Biography>();
  readonly counts = new Map<string, number>();

  count(email: string): void {
    this.counts.set(email, (this.counts.get(email) ?? 0) + 1);
  }

  read(change: SourceChange): void {
    const ref = nameOf(change);
    const person = this.people.get(ref);
    if (change.op === 'TOMBSTONE') {
      if (person?.life !== undefined) this.bury(person, change.ingestedAt);
      return;
    }
    const at: Moment = [change.version.ts, change.version.seq, change.version.tie];
    if (person !== undefined && this.ignores(person, change, at)) {
      person.explained ||= change.tombstoneFollows === true && person.life !== undefined;
      return;
    }
    const now = person ?? this.newborn(ref, change);
    now.lastEvent = change.eventId;
    if (change.op === 'DELETE') this.end(now, at, at[0]);
    else this.live(now, change, at);
  }

  bury(person: Biography, when: number): void {
    if (person.explained) person.explained = false;
    else this.end(person, [person.at[0], person.at[1], person.at[2] + '~'], Math.max(when, person.at[0]));
  }

  newborn(ref: string, change: CustomerChange): Biography {
    const person: Biography = {
      system: change.source,
      id: change.sourceId,
      born: change.version.ts,
      accepted: 0,
      at: [0, 0, ''],
      lastEvent: '',
      life: undefined,
      explained: false,
      left: new Map(),
    };
    this.people.set(ref, person);
    return person;
  }

  ignores(person: Biography, change: CustomerChange, at: Moment): boolean {
    for (const i of [0, 1, 2] as const) {
      if (at[i] < person.at[i]) return true;
      if (at[i] > person.at[i]) return change.eventId === person.lastEvent && this.repeats(person, change);
    }
    return this.repeats(person, change);
  }

  repeats(person: Biography, change: CustomerChange): boolean {
    if (change.op === 'DELETE') return person.life === undefined;
    if (person.life === undefined) return false;
    const { life } = person;
    if (change.present.includes('email') && (change.email !== life.email || change.emailRaw !== life.emailRaw))
      return false;
    return every.every((field) => {
      const value = (change.image as Record<string, string | null | undefined>)[field];
      if (value === undefined || !(change.present as readonly string[]).includes(field)) return true;
      const told = life.told.get(field);
      return told !== undefined && told.text === value;
    });
  }

  end(person: Biography, at: Moment, when: number): void {
    const email = person.life?.email;
    person.life = undefined;
    person.explained = false;
    person.at = at;
    person.accepted += 1;
    if (email !== undefined) {
      this.count(email);
      person.left.set(email, when);
    }
  }

  live(person: Biography, change: CustomerChange, at: Moment): void {
    const old = person.life;
    const life: Life = {
      email: old?.email,
      emailRaw: old?.emailRaw,
      told: new Map(old?.told),
      updatedAt: change.updatedAt ?? old?.updatedAt,
    };
    for (const field of change.present) {
      if (field === 'email') {
        life.email = change.email;
        life.emailRaw = change.emailRaw;
      } else this.listen(life, field, change.image[field], change);
    }
    person.life = life;
    person.explained = false;
    person.at = at;
    person.accepted += 1;
    this.moves(person, old?.email, life.email);
  }

  listen(life: Life, field: string, text: string | null | undefined, change: CustomerChange): void {
    const before = life.told.get(field);
    if (text === undefined || before?.text === text) return;
    const ts = change.version.ts;
    const exactly = change.op !== 'SNAPSHOT' && (before !== undefined || change.op === 'CREATE');
    const since = exactly || change.updatedAt === undefined ? ts : change.updatedAt;
    life.told.set(field, { text, since, timed: text !== null || before !== undefined, roughly: !exactly });
  }

  moves(person: Biography, from: string | undefined, to: string | undefined): void {
    if (from !== undefined && from !== to) {
      this.count(from);
      person.left.set(from, person.at[0]);
    }
    if (to !== undefined) {
      this.count(to);
      person.left.delete(to);
    }
  }
}

interface Say {
  ref: string;
  source: string;
  text: string | null;
  since: number;
  roughly: boolean;
}

interface Verdict {
  winner: Say;
  rule: string;
}

/** Latest first, then A before B, then the reference: the default policy of every field. */
function decide(field: string, says: Say[]): Verdict | undefined {
  const [first, ...others] = [...says].sort((x, y) => {
    if (x.since !== y.since) return y.since - x.since;
    return x.ref < y.ref ? -1 : 1;
  });
  if (first === undefined) return undefined;
  if (others.length === 0) return { winner: first, rule: 'single-source' };
  // The last comparison that removed anyone gives the rule its name.
  const peers = others.filter((say) => say.since === first.since);
  if (peers.some((say) => say.source === first.source)) return { winner: first, rule: 'source-order' };
  const isShared = field === 'name' || field === 'address';
  if (peers.length > 0) return { winner: first, rule: isShared ? 'priority' : 'source-order' };
  return { winner: first, rule: says.some((say) => say.roughly) ? 'record-clock' : 'recency' };
}

function newer(says: Say[]): string {
  let a = -1;
  let b = -1;
  for (const say of says) {
    if (say.source === 'system_a') a = Math.max(a, say.since);
    else b = Math.max(b, say.since);
  }
  if (a > b) return 'system_a';
  return b > a ? 'system_b' : 'equal';
}

interface FieldAnswer {
  value?: string;
  metadata?: object;
  conflict?: object | undefined;
}

function wishFor(field: string, wishes: readonly StewardOverride[]): StewardOverride | undefined {
  let wish: StewardOverride | undefined;
  for (const override of wishes)
    if (override.field === field && !override.action.endsWith('_REF'))
      wish = override.action === 'RELEASE' ? undefined : override;
  return wish;
}

function pinned(wish: StewardOverride): FieldAnswer {
  if (wish.value === undefined || wish.value === null) return {};
  const ref = 'steward:' + wish.actorId;
  return {
    value: wish.value,
    metadata: { source: 'steward', ref, changedAt: wish.at, rule: 'pin_value', pinned: true },
  };
}

function quarrel(field: string, says: Say[], verdict: Verdict, wish: StewardOverride | undefined): object | undefined {
  if (new Set(says.map((say) => same(field, say.text ?? ''))).size < 2) return undefined;
  const since = says.reduce((latest, say) => Math.max(latest, say.since), 0);
  if (wish?.action === 'ACCEPT' && since <= wish.at) return undefined;
  const candidates = says.map((say) => ({ source: say.source, ref: say.ref, value: say.text, changedAt: say.since }));
  return { candidates, newerSource: newer(says), chosen: verdict.winner.ref, rule: verdict.rule, since };
}

function answer(field: string, spoken: Say[], wishes: readonly StewardOverride[]): FieldAnswer {
  const wish = wishFor(field, wishes);
  if (wish?.action === 'PIN_VALUE') return pinned(wish);
  const nonEmpty = spoken.filter((say) => say.text !== null);
  if (wish?.action === 'PIN_SOURCE') {
    const { ref, source } = wish;
    const wanted = nonEmpty.filter((say) => (ref === undefined ? say.source === source : say.ref === ref));
    const choice = decide(field, wanted);
    if (choice !== undefined) return worded(choice, 'pin_source', true);
  }
  const isShared = field === 'name' || field === 'address';
  const verdict = decide(field, isShared ? nonEmpty : spoken);
  if (verdict === undefined) return {};
  return { ...worded(verdict, verdict.rule, false), conflict: quarrel(field, nonEmpty, verdict, wish) };
}

function worded({ winner }: Verdict, rule: string, pinned: boolean): FieldAnswer {
  if (winner.text === null) return {};
  return {
    value: winner.text,
    metadata: { source: winner.source, ref: winner.ref, changedAt: winner.since, rule, pinned },
  };
}

function idOf(people: [string, Biography][], system: string): string | undefined {
  let best: Biography | undefined;
  for (const [, person] of people)
    if (person.system === system && (best === undefined || person.at[0] > best.at[0])) best = person;
  return best?.id;
}

function updatedOf(people: [string, Biography][], system: string): number | undefined {
  const times = people
    .filter(([, person]) => person.system === system)
    .map(([, person]) => person.life?.updatedAt ?? person.at[0]);
  return times.length === 0 ? undefined : Math.max(...times);
}

interface Wishes {
  now: readonly StewardOverride[];
  latest: number;
}

function apart(wishes: Wishes): Set<string> {
  const detached = new Set<string>();
  for (const { action, ref = '' } of wishes.now) {
    if (action === 'DETACH_REF') detached.add(ref);
    if (action === 'ATTACH_REF') detached.delete(ref);
  }
  return detached;
}

function heard(field: string, here: [string, Biography][]): Say[] {
  const spoken: Say[] = [];
  for (const [ref, person] of here) {
    const told = (own[person.system] ?? []).includes(field) ? person.life?.told.get(field) : undefined;
    if (told?.timed !== true) continue;
    spoken.push({ ref, source: person.system, text: told.text, since: told.since, roughly: told.roughly });
  }
  return spoken;
}

function twins(here: [string, Biography][]): Record<string, string[]> | undefined {
  const found: Record<string, string[]> = {};
  for (const system of ['system_a', 'system_b']) {
    const refs = here.filter(([, person]) => person.system === system).map(([ref]) => ref);
    if (refs.length > 1) found[system] = refs;
  }
  return Object.keys(found).length === 0 ? undefined : found;
}

function portrait(email: string, everyone: [string, Biography][], wishes: Wishes, version: number): string | null {
  const detached = apart(wishes);
  const here = everyone.filter(([ref, person]) => person.life?.email === email && !detached.has(ref));
  if (here.length === 0) return null;
  const departed = everyone.filter(([, person]) => person.left.has(email)).map(([, person]) => person);
  const answers = every.map((field) => [field, answer(field, heard(field, here), wishes.now)] as const);
  const part = (name: keyof FieldAnswer): object =>
    Object.fromEntries(answers.map(([field, result]) => [field, result[name]]));
  const systems = [...new Set(here.map(([, person]) => person.system))].sort();
  return json({
    email,
    ...part('value'),
    systemAId: idOf(here, 'system_a'),
    systemBUuid: idOf(here, 'system_b'),
    systemAUpdated: updatedOf(here, 'system_a'),
    systemBUpdated: updatedOf(here, 'system_b'),
    sources: systems,
    isPartial: systems.length === 1,
    version,
    createdAt: Math.min(...here.map(([, person]) => person.born), ...departed.map((person) => person.born)),
    lastMergedAt: Math.max(
      wishes.latest,
      ...here.map(([, person]) => person.at[0]),
      ...departed.map((person) => person.left.get(email) ?? 0),
    ),
    fieldMetadata: part('metadata'),
    conflicts: part('conflict'),
    duplicates: twins(here),
    vector: Object.fromEntries(here.map(([ref, person]) => [ref, { ts: person.at[0], seq: person.at[1] }])),
  });
}

/** Folds everything; the result holds every e-mail that ever had an accepted change. Lists of overrides must not use `expectedVersion`. */
export function referenceFold(
  changes: Iterable<SourceChange>,
  overrides: Iterable<OverrideInput> = [],
): Map<string, ReferenceCustomer> {
  const archive = new Archive();
  for (const change of changes) archive.read(change);
  const wishes = new Map<string, Wishes>();
  for (const { email, overrides: list } of overrides) {
    const before = wishes.get(email) ?? { now: [], latest: 0 };
    const now = (list ?? []).filter((override) => override.email === email);
    if (json(now) === json(before.now)) continue;
    archive.count(email);
    wishes.set(email, { now, latest: Math.max(before.latest, ...now.map(({ at }) => at)) });
  }
  const everyone = [...archive.people].sort(([x], [y]) => (x < y ? -1 : 1));
  const result = new Map<string, ReferenceCustomer>();
  for (const email of [...archive.counts.keys()].sort()) {
    const version = archive.counts.get(email) ?? 0;
    const theirs = wishes.get(email) ?? { now: [], latest: 0 };
    result.set(email, { json: portrait(email, everyone, theirs, version), version });
  }
  return result;
}
