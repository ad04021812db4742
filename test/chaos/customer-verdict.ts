/** Recomputes everything from the input topics alone, and compares it with what was published, stored and answered. */
import { rawBytesOf, type RawRead } from '../support/raw-read.ts';
import type { Log } from '../../connectors/log.ts';
import { decodeChange } from '../../processors/app/customer/decode.ts';
import { isRejection } from '../../processors/app/customer/rejection.ts';
import type { SourceChange } from '../../schemas/app/customer/change.ts';
import { canonicalJson } from '../../schemas/serde.ts';
import { latest, readAll } from '../support/cluster.ts';
import { referenceFold } from '../support/customer/reference-fold.ts';
import { isPill, type CustomerApplications } from './customer-applications.ts';
import type { Verdict } from './workload.ts';

interface Findings {
  readonly lost: string[];
  readonly duplicated: string[];
  readonly wrong: string[];
  readonly checked: Record<string, number>;
}

export async function verify(log: Log, workload: CustomerApplications, urls: readonly string[]): Promise<Verdict> {
  const findings: Findings = { lost: [], duplicated: [], wrong: [], checked: {} };
  const counts = await verifyCounts(log, workload, findings);
  const merged = await verifyMerged(log, workload, findings);
  await verifyAnswers(urls, findings, { counts, merged });
  const written = [workload.counts, workload.changelog, workload.customers.merged, workload.customers.sources];
  let aborted = 0;
  for (const { name } of written)
    aborted +=
      (await rawBytesOf(log, name, { isolation: 'read_uncommitted' })).length -
      (await rawBytesOf(log, name, { isolation: 'read_committed' })).length;
  return { ...findings, aborted };
}

async function verifyCounts(
  log: Log,
  workload: CustomerApplications,
  findings: Findings,
): Promise<Map<string, number>> {
  const expected = new Map<string, number>();
  const pills = new Set<string>();
  const events = (await readAll(log, workload.events)).map((event) => ({ ...event, value: event.value ?? '' }));
  for (const { value, partition, offset } of events)
    if (isPill(value)) pills.add(placeOf({ topic: workload.events.name, partition, offset }));
    else expected.set(value, (expected.get(value) ?? 0) + 1);
  const published = (await readAll(log, workload.counts)).map(({ key, value }) => [key ?? '', value ?? 0] as const);
  compare('count', inOrder(published, findings), expected, findings);
  compare('changelog of counts', latest(await readAll(log, workload.changelog)), expected, findings);
  await comparePills(log, workload.dlq.name, pills, findings);
  Object.assign(findings.checked, { events: events.length, 'published counts': published.length });
  return expected;
}

/** Each count follows the one before it: none left out, none repeated. Returns the last ones. */
function inOrder(
  published: readonly (readonly [key: string, count: number])[],
  { lost, duplicated }: Findings,
): ReadonlyMap<string, number> {
  const history = new Map<string, number>();
  for (const [key, count] of published) {
    const before = history.get(key) ?? 0;
    const what = `count ${key}=${String(count)} after ${String(before)}`;
    if (count <= before) duplicated.push(what);
    if (count > before + 1) lost.push(what);
    history.set(key, count);
  }
  return history;
}

async function verifyMerged(
  log: Log,
  { customers }: CustomerApplications,
  findings: Findings,
): Promise<Map<string, string>> {
  const changes: SourceChange[] = [];
  const pills = new Set<string>();
  const inputs = await changeRecords(log, customers);
  for (const record of inputs) {
    const result = decodeChange(record);
    if (isRejection(result)) pills.add(placeOf(record));
    else if (result.kind === 'ok') changes.push(...result.changes);
  }
  const expected = new Map<string, string>();
  for (const [email, { json }] of referenceFold(changes)) if (json !== null) expected.set(email, json);
  const found = new Map<string, string>();
  for (const [key, value] of latest(await readAll(log, customers.merged)))
    if (value !== null) found.set(key ?? '', canonicalJson(value) ?? '');
  compare('customer', found, expected, findings);
  await comparePills(log, customers.dlq.name, pills, findings);
  Object.assign(findings.checked, { changes: inputs.length, customers: expected.size });
  return expected;
}

async function changeRecords(log: Log, { changesA, changesB }: CustomerApplications['customers']) {
  const ofA = await rawBytesOf(log, changesA.name, { isolation: 'read_committed' });
  const ofB = await rawBytesOf(log, changesB.name, { isolation: 'read_committed' });
  return [
    ...ofA.map((record) => ({ ...record, source: 'system_a' as const })),
    ...ofB.map((record) => ({ ...record, source: 'system_b' as const })),
  ];
}

function compare(
  what: string,
  found: ReadonlyMap<string | null, unknown>,
  expected: ReadonlyMap<string, unknown>,
  { lost, duplicated, wrong }: Findings,
): void {
  for (const [key, value] of expected)
    if (!found.has(key)) lost.push(`${what} ${key}`);
    else if (found.get(key) !== value) wrong.push(`${what} ${key}: ${String(found.get(key))} for ${String(value)}`);
  for (const key of found.keys()) if (!expected.has(key ?? '')) duplicated.push(`${what} ${String(key)}`);
}

/** Exactly one dead letter for each bad record. */
async function comparePills(
  log: Log,
  topic: string,
  pills: ReadonlySet<string>,
  { lost, duplicated, wrong, checked }: Findings,
): Promise<void> {
  const seen = new Set<string>();
  for (const { headers } of await rawBytesOf(log, topic, { isolation: 'read_committed' })) {
    const header = (name: string): string =>
      Buffer.from(headers.findLast(({ key }) => key === `__streams.errors.${name}`)?.value ?? []).toString();
    const place = `${header('topic')}/${header('partition')}@${header('offset')}`;
    if (seen.has(place)) duplicated.push(`dead letter of ${place}`);
    if (!pills.has(place)) wrong.push(`dead letter of ${place}, which is good`);
    seen.add(place);
  }
  for (const place of pills) if (!seen.has(place)) lost.push(`dead letter of ${place}`);
  checked['dead letters'] = (checked['dead letters'] ?? 0) + seen.size;
}

function placeOf({ topic, partition, offset }: Pick<RawRead, 'topic' | 'partition' | 'offset'>): string {
  return `${topic}/${String(partition)}@${String(offset)}`;
}

/** Asks every instance for every key: it answers itself or forwards. */
async function verifyAnswers(
  urls: readonly string[],
  { wrong, checked }: Findings,
  expected: { readonly counts: ReadonlyMap<string, number>; readonly merged: ReadonlyMap<string, string> },
): Promise<void> {
  let answers = 0;
  const ask = async (url: string, path: string, read: (body: unknown) => unknown, value: unknown): Promise<void> => {
    const response = await fetch(`${url}${path}`);
    const body: unknown = await response.json();
    answers += 1;
    if (response.status !== 200 || read(body) !== value) wrong.push(`answer of ${path}: ${String(response.status)}`);
  };
  const valueOf = (body: unknown): unknown => Number((body as { value?: unknown }).value);
  for (const [index, [key, count]] of [...expected.counts].entries())
    await ask(urls[index % urls.length] ?? '', `/stores/counts-by-value/${encodeURIComponent(key)}`, valueOf, count);
  for (const [index, [email, json]] of [...expected.merged].entries())
    await ask(urls[index % urls.length] ?? '', `/customers/${encodeURIComponent(email)}`, canonicalJson, json);
  checked['answers'] = answers;
}
