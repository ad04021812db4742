/** What runs beside the topologies: who captures system A, who polls system B, and what every process knows of the systems. */
import type { Backlog } from '../api/app/backlog.ts';
import type { CustomerShadow } from '../api/app/customer-shadow.ts';
import type { SourceWatch } from '../api/app/source-routes.ts';
import { polledCustomers, type CustomerListing } from '../connectors/app/polled-customers.ts';
import { systemAFile } from '../connectors/app/system-a-file.ts';
import { systemBListing } from '../connectors/app/system-b-source.ts';
import {
  captureHealthMs,
  postgresCapture,
  type PostgresCaptureOptions,
} from '../connectors/change-capture/postgres-capture.ts';
import { createCircuitBreaker, type CircuitBreaker } from '../connectors/circuit-breaker.ts';
import { measuresWith, type Connector, type Measure } from '../connectors/connector.ts';
import { createHttpSource } from '../connectors/http-source.ts';
import type { OutgoingRecord } from '../connectors/outgoing-record.ts';
import { followSources, statusRecord, type SourceOutcome, type SourceStatuses } from '../connectors/source-status.ts';
import { connectorTopics } from '../schemas/app/connector-topics.ts';
import { billingTopics } from '../schemas/app/billing/topics.ts';
import { customerTopics } from '../schemas/app/customer/topics.ts';
import { openBacklog } from './backlog.ts';
import { customerBackfills } from './backfills.ts';
import type { ConnectorPorts } from './connector-ports.ts';
import { customerShadow } from './customer-shadow.ts';
import { employeeConnectors } from './employee-connectors.ts';
import { payoutConnectors } from './payout-connector.ts';
import { pollerConnector } from './poller-connector.ts';
import { openRequestRegister, type OpenRegister } from './request-register.ts';
import { bearer } from './settings-reader.ts';
import { sqliteFile } from './sqlite-file.ts';
import { syncConnectors } from './sync-connectors.ts';
import { tableConnectors } from './table-connectors.ts';
import { writeBackConnectors } from './write-back-connectors.ts';
import { billingLedgerName } from '../topology/app/billing-ledger.ts';
import { billingSagaName } from '../topology/app/billing-saga.ts';
import { customerMergeName } from '../topology/app/customer-merge.ts';

export interface ApplicationConnectors {
  readonly connectors: readonly Connector[];
  readonly sources: SourceWatch;
  /** Absent where nothing is asked of billing. */
  readonly register?: OpenRegister;
  readonly backlog?: Backlog;
  /** Absent where no customers are merged. */
  readonly shadow?: CustomerShadow;
}

/** Nothing is polled, nothing is known. */
export const noSources: SourceWatch = { health: () => [], noteDegraded: () => undefined };

/** The connectors that the settings ask for, not yet started. */
export function applicationConnectors(ports: ConnectorPorts): ApplicationConnectors {
  const { settings, database } = ports;
  const tables = database === undefined ? [] : tableConnectors(ports, database);
  const intake = billingIntake(ports);
  const others = [
    ...tables,
    ...syncConnectors(ports),
    ...employeeConnectors(ports),
    ...payoutConnectors(ports),
    ...connectorsOf(intake),
  ];
  if (!settings.topologies.includes(customerMergeName)) return { ...intake, connectors: others, sources: noSources };
  const statuses = followSources({ ...ports, topic: connectorTopics(settings.topicPrefix).status.name });
  const degraded = { answers: 0 };
  const captured = captureOf(ports, statuses);
  const polled = [fileOf(ports), systemBOf(ports)].filter((system) => system !== undefined);
  const listed = polled.map(({ listing }) => listing);
  const hasSource = captured !== undefined || polled.length > 0;
  const backfills = hasSource ? customerBackfills({ captured, listed }, ports) : undefined;
  const watch: SourceWatch = {
    ...(backfills === undefined ? {} : { backfills }),
    health: () => statuses.health(),
    noteDegraded: () => {
      degraded.answers += 1;
    },
  };
  const { shadow, connector: comparing } = customerShadow(ports);
  return {
    ...intake,
    sources: watch,
    shadow,
    connectors: [
      sourceFollower(statuses, watch, degraded),
      comparing,
      ...(backfills === undefined ? [] : [backfills]),
      ...(captured === undefined ? [] : [postgresCapture(captured)]),
      ...polled.map((system) => customerPoller(system, ports)),
      ...writeBackConnectors(ports),
      ...others,
    ],
  };
}

/** What a process that takes requests of billing in knows of them. */
function billingIntake({ settings, format, applicationIdOf, ...ports }: ConnectorPorts): BillingIntake | undefined {
  const { topologies, topicPrefix, backlogMax } = settings;
  if (!topologies.some((name) => name.startsWith('billing-'))) return undefined;
  const { requests, results, commands } = billingTopics(topicPrefix, format);
  const inputs = new Map([
    [applicationIdOf(billingSagaName), [requests.name, results.name]],
    [applicationIdOf(billingLedgerName), [commands.name]],
  ]);
  return {
    register: openRequestRegister({ ...ports, topic: requests, name: applicationIdOf('billing-requests') }),
    backlog: openBacklog({ ...ports, inputs, max: backlogMax }),
  };
}

function connectorsOf(intake: BillingIntake | undefined): readonly Connector[] {
  return intake === undefined ? [] : [intake.register.connector, intake.backlog.connector];
}

interface BillingIntake {
  readonly register: OpenRegister;
  readonly backlog: Backlog & { readonly connector: Connector };
}

/** The same publication and the same slot as the shipped configuration of Debezium: one of both can be in use. */
function captureOf(ports: ConnectorPorts, statuses: SourceStatuses): PostgresCaptureOptions | undefined {
  const { log, clock, logger, settings } = ports;
  if (settings.systemA === undefined) return undefined;
  const name = 'system-a';
  return {
    name,
    connectionString: settings.systemA.reveal(),
    publication: 'system_a_publication',
    slot: 'system_a_cdc_slot',
    topic: customerTopics(settings.topicPrefix).changesA.name,
    onHealth: (outcome) => ports.write(captureStatus(outcome, { name, ports, statuses })),
    log,
    clock,
    logger,
  };
}

/** Whoever finds the database away may never have reached it: its age is what all know. */
function captureStatus(
  outcome: SourceOutcome,
  {
    name: source,
    ports: { clock, settings },
    statuses,
  }: { readonly name: string; readonly ports: ConnectorPorts; readonly statuses: SourceStatuses },
): OutgoingRecord {
  const nowMs = clock.nowMs();
  const known = statuses.health().find((health) => health.source === source);
  return statusRecord(connectorTopics(settings.topicPrefix).status.name, {
    source,
    ...outcome,
    polledAtMs: outcome.isUp ? nowMs : known?.polledAtMs,
    toldAtMs: nowMs,
    intervalMs: captureHealthMs,
  });
}

function sourceFollower(
  statuses: SourceStatuses,
  watch: SourceWatch,
  degraded: { readonly answers: number },
): Connector {
  return {
    name: 'source-status',
    start: () => statuses.start(),
    close: () => statuses.close(),
    measures: () => [
      ...healthMeasures(watch),
      measuresWith({})(
        'sync_partial_results_total',
        'Answers given while a system was down or its last poll too old.',
        degraded.answers,
      ),
    ],
  };
}

function healthMeasures(watch: SourceWatch): readonly Measure[] {
  return watch.health().flatMap(({ source, isUp, ageMs }) => {
    const measure = measuresWith({ system: source });
    const up = measure('connector_up', 'Whether the last poll of a system succeeded, whoever made it.', isUp ? 1 : 0);
    if (ageMs === undefined) return [up];
    const help = 'Time since the last complete poll of a system.';
    return [up, measure('connector_freshness_seconds', help, ageMs / 1_000)];
  });
}

interface PolledCustomers {
  readonly listing: CustomerListing;
  readonly pollIntervalMs: number;
  readonly more?: () => readonly Measure[];
}

function fileOf({ settings }: ConnectorPorts): PolledCustomers | undefined {
  if (settings.systemAFile === undefined) return undefined;
  const { path, pollIntervalMs, scanIntervalMs } = settings.systemAFile;
  const topic = customerTopics(settings.topicPrefix).changesA.name;
  return { listing: systemAFile({ file: sqliteFile(path), topic, scanIntervalMs }), pollIntervalMs };
}

function systemBOf({ clock, random, settings }: ConnectorPorts): PolledCustomers | undefined {
  const { systemB } = settings;
  if (systemB === undefined) return undefined;
  const latencies = new LatencyRing();
  const breaker = createCircuitBreaker({ clock, name: 'system-b' });
  const http = createHttpSource({
    fetch,
    clock,
    random,
    breaker,
    headers: bearer(systemB.token),
    onRequest: (seconds) => latencies.add(seconds),
  });
  const topic = customerTopics(settings.topicPrefix).changesB.name;
  const { url: baseUrl, scanIntervalMs, pollIntervalMs } = systemB;
  const listing = systemBListing({ http, baseUrl, topic, scanIntervalMs });
  return { listing, pollIntervalMs, more: () => systemBMeasures(breaker, latencies) };
}

function systemBMeasures(breaker: CircuitBreaker, latencies: LatencyRing): readonly Measure[] {
  const measure = measuresWith({ system: 'system-b' });
  return [
    measure('connector_breaker_open', 'Whether the system is left alone.', breaker.state === 'closed' ? 0 : 1),
    measure('system_b_latency_p99_seconds', 'Of the last requests to system B.', latencies.quantile(0.99)),
  ];
}

function customerPoller(
  { listing, pollIntervalMs: intervalMs, ...more }: PolledCustomers,
  ports: ConnectorPorts,
): Connector {
  const applicationId = ports.applicationIdOf(customerMergeName);
  return pollerConnector({ source: polledCustomers(listing), applicationId, intervalMs, ...more }, ports);
}

/** Durations of the last requests. */
class LatencyRing {
  static readonly sizeMax = 1_000;
  readonly #seconds: number[] = [];
  #next = 0;

  add(seconds: number): void {
    this.#seconds[this.#next] = seconds;
    this.#next = (this.#next + 1) % LatencyRing.sizeMax;
  }

  quantile(share: number): number {
    const ordered = this.#seconds.toSorted((left, right) => left - right);
    return ordered[Math.min(ordered.length - 1, Math.floor(ordered.length * share))] ?? 0;
  }
}
