/** Producer ids: a new one for a new producer, the next epoch for a transactional id. */
import type { Cluster, Connections } from './cluster.ts';
import { transactionTimeoutMsDefault } from './limits.ts';
import { initProducerIdRequest, type ProducerEpoch } from './transaction-requests.ts';

/** With a transactional id: whoever had it is fenced, and its open transaction aborted, when this resolves. */
export function initProducerId(
  cluster: Cluster,
  connections: Connections,
  options: { readonly transactionalId?: string | undefined; readonly transactionTimeoutMs?: number | undefined },
): Promise<ProducerEpoch> {
  const { transactionalId, transactionTimeoutMs = transactionTimeoutMsDefault } = options;
  const request = initProducerIdRequest(transactionalId, transactionTimeoutMs);
  if (transactionalId === undefined) return cluster.retry(() => cluster.ask(request));
  const at = { kind: 'transaction', key: transactionalId, connections } as const;
  return cluster.onCoordinator(at, (connection) => connection.request(request));
}
