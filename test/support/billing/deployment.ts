/** Billing as it is deployed for a test: a name of its own for its topics, groups and processes, and how to tell that all of it has come to rest. */
import { newTopics } from '../../../api/app/application.ts';
import { systemRandom } from '../../../clock.ts';
import type { Log, NewTopic } from '../../../connectors/log.ts';
import { billingTopics, type BillingTopics } from '../../../schemas/app/billing/topics.ts';
import { connectorTopics } from '../../../schemas/app/connector-topics.ts';
import { isThrough, partitionsOf } from '../progress.ts';

export interface BillingDeployment {
  readonly topics: BillingTopics;
  readonly newTopics: readonly NewTopic[];
  /** What every process of it is told; its data directory comes on top. */
  readonly environment: Readonly<Record<string, string>>;
  /** By application id: what it reads, in the order in which records pass through. */
  readonly inputs: ReadonlyMap<string, readonly string[]>;
  /** What is only written. */
  readonly outputs: readonly string[];
  /** Whether everything that was asked for has been dealt with and shown. */
  isAtRest(log: Log): Promise<boolean>;
}

export function billingDeployment(kind: string): BillingDeployment {
  const applicationId = `${kind}-${systemRandom.uuid().slice(0, 8)}`;
  const topics = billingTopics(`${applicationId}.`);
  const { requests, commands, results, accountEvents, transactionEvents } = topics;
  const idOf = (name: string): string => `${applicationId}-${name}`;
  const inputs = new Map([
    [idOf('billing-saga'), [requests.name, results.name]],
    [idOf('billing-ledger'), [commands.name]],
    [
      idOf('billing-projections'),
      [accountEvents.name, transactionEvents.name, `${idOf('billing-projections')}-by-day-repartition`],
    ],
    // The first generation.
    [idOf('billing-balances-g1'), [accountEvents.name]],
    [idOf('billing-transactions-g1'), [transactionEvents.name]],
  ]);
  const outputs = [topics.balances, topics.dailyTotals, topics.notifications, topics.sagaEvents].map(
    ({ name }) => name,
  );
  return {
    topics,
    newTopics: newTopics({ ...topics, ...connectorTopics(`${applicationId}.`) }),
    inputs,
    outputs,
    environment: {
      TOPIC_PREFIX: `${applicationId}.`,
      APPLICATION_ID: applicationId,
      TOPOLOGIES: 'billing-saga,billing-ledger,billing-projections,billing-balances,billing-transactions',
      RATE_LIMIT_PER_SECOND: '0',
    },
    isAtRest: async (log) => {
      const before = await endsOf(log, [...inputs.values()].flat());
      for (const [id, read] of inputs) if (!(await isThrough(log, id, { topics: read, outputs }))) return false;
      // Saga and ledger write to each other: what was looked at first may have grown meanwhile.
      return (await endsOf(log, [...inputs.values()].flat())) === before;
    },
  };
}

async function endsOf(log: Log, topics: readonly string[]): Promise<string> {
  const all = await Promise.all([...new Set(topics)].map((topic) => partitionsOf(log, topic)));
  return (await log.admin.offsets(all.flat())).map(({ end }) => end).join(' ');
}
