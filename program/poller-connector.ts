/** A poller as it runs beside the topologies, with what it counts. */
import { measuresWith, type Connector, type Measure } from '../connectors/connector.ts';
import type { PollSource } from '../connectors/poll-source.ts';
import { createPoller } from '../connectors/poller.ts';
import { connectorTopics } from '../schemas/app/connector-topics.ts';
import type { ConnectorPorts } from './connector-ports.ts';

export interface PollerParts {
  readonly source: PollSource;
  readonly applicationId: string;
  readonly intervalMs: number;
  /** What only this source has. */
  readonly more?: () => readonly Measure[];
}

export function pollerConnector(
  { source, applicationId, intervalMs, more = () => [] }: PollerParts,
  ports: ConnectorPorts,
): Connector {
  const { checkpoints, status } = connectorTopics(ports.settings.topicPrefix);
  const poller = createPoller({
    ...ports,
    source,
    applicationId,
    checkpointTopic: checkpoints.name,
    statusTopic: status.name,
    intervalMs,
    sessionTimeoutMs: ports.settings.sessionTimeoutMs,
  });
  const measure = measuresWith({ system: source.name });
  return {
    name: `${source.name} poller`,
    start: () => poller.start(),
    close: () => poller.close(),
    measures: () => {
      const { events, errors, polls, lastPollSeconds, isPolling } = poller.counts;
      return [
        measure('connector_events_total', 'Change events written by this process.', events),
        measure('connector_errors_total', 'Polls by this process that failed.', errors),
        measure('connector_polls_total', 'Polls by this process, failed ones included.', polls),
        measure('connector_poll_duration_seconds', 'Duration of the last poll by this process.', lastPollSeconds),
        measure('connector_is_polling', 'Whether this process is the one that polls.', isPolling ? 1 : 0),
        ...more(),
      ];
    },
  };
}
