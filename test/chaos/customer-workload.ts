/** Counting and the customer merge under chaos, with bad records among the good ones. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import type { NewTopic } from '../../connectors/log.ts';
import type { SourceChange } from '../../schemas/app/customer/change.ts';
import type { Topic } from '../../schemas/topic.ts';
import { Child } from '../support/child.ts';
import { histories, interleaved } from '../support/customer/arbitraries.ts';
import { written } from '../support/customer/records.ts';
import { isThrough } from '../support/progress.ts';
import { customerApplications, type CustomerApplications } from './customer-applications.ts';
import { verify } from './customer-verdict.ts';
import type { ChaosWorkload, FedRecord } from './workload.ts';

const partitions = 6;
/** One record in so many is bad. */
const pillEvery = 100;
const distinctValues = 50;

export function customerWorkload(suffix: string): ChaosWorkload {
  const all = customerApplications(suffix);
  return {
    topics: topicsOf(all),
    inputs: new Map(all.applications.map(({ applicationId, inputs }) => [applicationId, inputs])),
    recordsPerTurn: 60,
    feed: (seed) => feed(all, seed),
    start: async ({ id, directory, brokers }) => {
      const file = join(directory, 'url');
      await rm(file, { force: true });
      const child = new Child('./chaos-process.ts', [brokers, suffix, id, directory]);
      return {
        signal: (signal) => {
          child.signal(signal);
        },
        ended: child.ended,
        errors: () => child.errors,
        url: () => readFile(file, 'utf8').catch(() => undefined),
      };
    },
    isThrough: async (log) => {
      for (const { applicationId, inputs, repartitions, outputs } of all.applications)
        if (!(await isThrough(log, applicationId, { topics: [...inputs, ...repartitions], outputs }))) return false;
      return true;
    },
    verify: (log, urls) => verify(log, all, urls),
  };
}

function topicsOf({ events, counts, dlq, customers }: CustomerApplications): readonly NewTopic[] {
  const { changesA, changesB, decisions, overrides, sources, merged, conflicts, detached } = customers;
  const declared: readonly Pick<Topic<unknown, unknown>, 'name' | 'create'>[] = [
    ...[changesA, changesB, decisions, overrides, sources, merged, conflicts, detached],
    customers.dlq,
  ];
  return [
    ...[events, counts].map(({ name }) => ({ name, partitions })),
    { name: dlq.name, partitions: 1 },
    ...declared.map(({ name, create }) => ({ name, partitions, ...create })),
  ];
}

function* feed({ events, customers }: CustomerApplications, seed: number): Generator<FedRecord, never> {
  let changes: readonly SourceChange[] = [];
  let family = 0;
  for (let index = 0, next = 0; ; index += 1) {
    const bad = index % pillEvery === pillEvery - 1;
    const value = bad ? `pill ${String(index)}` : `v${String(index % distinctValues)}`;
    yield { topic: events.name, key: Buffer.from(`k${String(index)}`), value: Buffer.from(value) };
    if (index % 5 !== 0) continue;
    if (next >= changes.length) {
      changes = familyOf(seed, family);
      family += 1;
      next = 0;
    }
    const change = changes[next];
    next += 1;
    if (change === undefined) continue;
    const record = written(change);
    const topic = record.source === 'system_a' ? customers.changesA.name : customers.changesB.name;
    yield { topic, key: record.key, value: index % 250 === 0 ? Buffer.from('{"not json') : record.value };
  }
}

/** Histories of a few records that share addresses with each other and with no other family. */
function familyOf(seed: number, family: number): readonly SourceChange[] {
  const [queues = []] = fc.sample(histories, { numRuns: 1, seed: seed * 1_000 + family });
  const [order = []] = fc.sample(fc.array(fc.nat(1_000), { minLength: 20, maxLength: 20 }), { numRuns: 1, seed });
  return interleaved(
    queues.map((history) => history.map((change) => renamed(change, family))),
    order,
  );
}

function renamed(change: SourceChange, family: number): SourceChange {
  const sourceId = `${String(family)}-${change.sourceId}`;
  if (change.op === 'TOMBSTONE') return { ...change, sourceId };
  const own = (email: string): string => email.replace('@', `.${String(family)}@`);
  const { email, emailRaw } = change;
  return {
    ...change,
    sourceId,
    ...(email === undefined ? {} : { email: own(email) }),
    ...(emailRaw === undefined ? {} : { emailRaw: own(emailRaw) }),
  };
}
