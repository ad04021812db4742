/** Whom customers are compared with: the system before, and the table of them. */
import { createCustomerShadow, type OtherCustomers, type RunningShadow } from '../api/app/customer-shadow.ts';
import { findInView } from '../api/app/customer-view-search.ts';
import { findLegacyCustomer, legacyAnswerMs } from '../connectors/app/legacy-customers.ts';
import { createCircuitBreaker } from '../connectors/circuit-breaker.ts';
import { measuresWith, type Connector } from '../connectors/connector.ts';
import { createHttpSource } from '../connectors/http-source.ts';
import { shadowTopics } from '../schemas/app/shadow.ts';
import type { ConnectorPorts } from './connector-ports.ts';
import { bearer } from './settings-reader.ts';

export function customerShadow(ports: ConnectorPorts): {
  readonly shadow: RunningShadow;
  readonly connector: Connector;
} {
  const { database, settings } = ports;
  const view: readonly OtherCustomers[] =
    database === undefined ? [] : [{ pair: 'merge|view', isLeft: false, find: (email) => findInView(database, email) }];
  const { comparisons } = shadowTopics(settings.topicPrefix);
  const shadow = createCustomerShadow({ ...ports, legacy: legacyOf(ports), others: view, comparisons });
  return { shadow, connector: connectorOf(shadow) };
}

function legacyOf({ settings: { legacyCustomers }, clock, random }: ConnectorPorts): OtherCustomers | undefined {
  if (legacyCustomers === undefined) return undefined;
  const { url, token } = legacyCustomers;
  const http = createHttpSource({
    ...{ fetch, clock, random },
    breaker: createCircuitBreaker({ clock, name: 'legacy-customers' }),
    headers: bearer(token),
    timeoutMs: legacyAnswerMs,
    retries: 0,
  });
  return { pair: 'legacy|merge', isLeft: true, find: (email) => findLegacyCustomer(http, url, email) };
}

function connectorOf(shadow: RunningShadow): Connector {
  return {
    name: 'customer-shadow',
    start: () => undefined,
    close: () => shadow.close(),
    measures: () => {
      const counts = shadow.counts();
      const mismatches = counts.filter(({ outcome }) => outcome !== 'match');
      const sum = (of: typeof counts): number => of.reduce((total, { count }) => total + count, 0);
      const measure = measuresWith({});
      return [
        ...counts.map(({ pair, outcome, count }) =>
          measuresWith({ pair, outcome })('mv_shadow_comparisons_total', 'Customers compared by this process.', count),
        ),
        measure('mv_shadow_mismatch_total', 'Customers that were not the same on both sides.', sum(mismatches)),
        measure('mv_shadow_skipped_total', 'Comparisons that could not be made.', shadow.skipped),
      ];
    },
  };
}
