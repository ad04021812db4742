/** T4: transactions, from the request to what became of it. It commands the ledger and listens to its answers. */
import { defineTopology } from '../../index.ts';
import type { Topology } from '../../index.ts';
import { present } from '../../processors/app/billing/present.ts';
import { leavesTheBooks } from '../../processors/app/billing/saga-definitions.ts';
import { sagaStep, type SagaStepInput } from '../../processors/app/billing/saga-processor.ts';
import { billingTopics } from '../../schemas/app/billing/topics.ts';
import { jsonFormat, type RecordFormat } from '../../schemas/app/record-format.ts';
import { believedTimestamp as timestamp } from '../../schemas/app/record-time.ts';

export const billingSagaName = 'billing-saga';

/**
 * The topology over topics of this prefix. It reads `billing.requests` and also writes there, what sagas tell each other and themselves: so that is
 * in one order with everything else. What is no request goes to `billing.dead-letter`, in the same transaction.
 * `paysOut`: somebody outside follows `billing.payouts`, and withdrawals that begin from now on wait for them.
 */
export function billingSaga(topicPrefix = '', format: RecordFormat = jsonFormat, { paysOut = false } = {}): Topology {
  const topics = billingTopics(topicPrefix, format);
  return defineTopology(
    billingSagaName,
    (t) => {
      const requests = t
        .stream(topics.requests, { name: 'requests', timestamp })
        .mapValues('request-inputs', (value): SagaStepInput => {
          const request = present(value, 'a request');
          const isPaidOut = paysOut && leavesTheBooks(request);
          return isPaidOut ? { kind: 'request', request, isPaidOut } : { kind: 'request', request };
        });
      const results = t
        .stream(topics.results, { name: 'results', timestamp })
        .mapValues('result-inputs', (result): SagaStepInput => ({
          kind: 'result',
          result: present(result, 'a result'),
        }));
      const settled = requests.merge(results, 'inputs').process(sagaStep);
      settled
        .flatMapValues('commands', (output) => (output.kind === 'command' ? [output.command] : []))
        .to(topics.commands);
      settled
        .flatMapValues('signals', (output) => (output.kind === 'request' ? [output.request] : []))
        .to(topics.requests);
      settled
        .flatMapValues('payouts', (output) => (output.kind === 'payout' ? [output.payout] : []))
        .to(topics.payouts);
      settled
        .flatMapValues('events', (output) => (output.kind === 'event' ? [output.event] : []))
        .to(topics.transactionEvents);
      settled
        .flatMapValues('transitions', (output) => (output.kind === 'transition' ? [output.transition] : []))
        .to(topics.sagaEvents);
    },
    { onError: 'dead-letter', deadLetterTopic: topics.deadLetter.name },
  );
}
