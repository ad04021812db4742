/** What has withdrawals paid out, and tells their sagas what became of it. */
import { payOut, payoutOutcomes } from '../connectors/app/payout-provider.ts';
import { createCircuitBreaker } from '../connectors/circuit-breaker.ts';
import { createCommandSink } from '../connectors/command-sink.ts';
import { measuresWith, type Connector } from '../connectors/connector.ts';
import { createHttpSource } from '../connectors/http-source.ts';
import { envelopeHeaders } from '../schemas/app/billing/envelope.ts';
import { uuid5 } from '../schemas/app/billing/names.ts';
import type { Payout } from '../schemas/app/billing/payout.ts';
import { billingTopics } from '../schemas/app/billing/topics.ts';
import { connectorTopics } from '../schemas/app/connector-topics.ts';
import type { Header } from '../schemas/record.ts';
import { billingSagaName } from '../topology/app/billing-saga.ts';
import { commandSinkMeasures } from './command-sink-measures.ts';
import type { ConnectorPorts } from './connector-ports.ts';
import { bearer } from './settings-reader.ts';

const name = 'billing-payouts';

const measured = {
  errors: 'billing_payouts_errors_total',
  deadLetters: 'billing_payouts_dead_letters_total',
  waiting: 'billing_payouts_waiting',
  lag: 'billing_payouts_lag_records',
} as const;

interface PayoutCommand {
  readonly payout: Payout;
  readonly headers: readonly Header[];
}

/** One where sagas run, if there is anybody to be asked. */
export function payoutConnectors(ports: ConnectorPorts): readonly Connector[] {
  const { settings, format, clock, random } = ports;
  const { payouts: provider, topologies, topicPrefix, sessionTimeoutMs } = settings;
  if (provider === undefined || !topologies.includes(billingSagaName)) return [];
  const { payouts, requests, deadLetter } = billingTopics(topicPrefix, format);
  const { url, token } = provider;
  const end = new AbortController();
  const http = createHttpSource({
    ...{ fetch, clock, random },
    breaker: createCircuitBreaker({ clock, name }),
    headers: bearer(token),
    // The sink has patience of its own.
    retries: 0,
  });
  const outcomes = new Map(payoutOutcomes.map((outcome) => [outcome, 0]));
  const sink = createCommandSink<PayoutCommand>({
    ...ports,
    name: `${topicPrefix}${name}`,
    groupId: ports.applicationIdOf(name),
    topic: payouts.name,
    resultTopic: requests.name,
    checkpointTopic: connectorTopics(topicPrefix).checkpoints.name,
    deadLetters: { topic: deadLetter.name, write: ports.write },
    sessionTimeoutMs,
    open: () => Promise.resolve(),
    prepare: async (values) => payouts.value.prepare?.(values),
    decode: ({ value, headers }) =>
      value === undefined ? undefined : { payout: payouts.value.deserialize(value), headers },
    carryOut: async ({ payout, headers }) => {
      const { outcome, answer } = await payOut({ http, url, signal: end.signal }, payout);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      if (answer === undefined) return undefined;
      const { type: eventType, txId, commandId: causationId } = answer;
      return {
        key: requests.key.serialize(txId),
        value: requests.value.serialize(answer),
        headers: envelopeHeaders(headers, { eventType, eventId: uuid5(causationId, eventType), causationId }),
      };
    },
  });
  const connector: Connector = {
    name,
    start: () => sink.start(),
    close: () => {
      end.abort();
      return sink.close();
    },
    measures: () => [
      ...[...outcomes].map(([outcome, count]) =>
        measuresWith({ outcome })('billing_payouts_total', 'Times that somebody was asked to pay.', count),
      ),
      ...commandSinkMeasures(sink, measured),
    ],
  };
  return [connector];
}
