/** T5: commands on accounts, carried out in the order of each account; every effect an event, every command an answer. */
import { defineTopology } from '../../index.ts';
import type { Topology } from '../../index.ts';
import { ledgerStep } from '../../processors/app/billing/ledger-processor.ts';
import { billingTopics } from '../../schemas/app/billing/topics.ts';
import { jsonFormat, type RecordFormat } from '../../schemas/app/record-format.ts';
import { believedTimestamp as timestamp } from '../../schemas/app/record-time.ts';

export const billingLedgerName = 'billing-ledger';

/** The topology over topics of this prefix. What is no command goes to `billing.dead-letter`, in the same transaction. */
export function billingLedger(topicPrefix = '', format: RecordFormat = jsonFormat): Topology {
  const topics = billingTopics(topicPrefix, format);
  return defineTopology(
    billingLedgerName,
    (t) => {
      const settled = t.stream(topics.commands, { name: 'commands', timestamp }).process(ledgerStep);
      settled
        .flatMapValues('events', (output) => (output.kind === 'event' ? [output.event] : []))
        .to(topics.accountEvents);
      settled
        .flatMapValues('results', (output) => (output.kind === 'result' ? [output.result] : []))
        .to(topics.results);
    },
    { onError: 'dead-letter', deadLetterTopic: topics.deadLetter.name },
  );
}
