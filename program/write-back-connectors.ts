/** What tells the systems themselves what was merged of their customers, as far as the rollout has come. */
import { refusesRow, writeBackToA } from '../connectors/app/write-back-a.ts';
import { refusesCustomer, writeBackToB } from '../connectors/app/write-back-b.ts';
import { createCircuitBreaker } from '../connectors/circuit-breaker.ts';
import { createCommandSink } from '../connectors/command-sink.ts';
import { measuresWith, type Connector } from '../connectors/connector.ts';
import { createHttpSource } from '../connectors/http-source.ts';
import {
  writeBackOf,
  writeBackOutcomes,
  type WriteBack,
  type WriteBackOutcome,
} from '../processors/app/customer/write-back.ts';
import { isWithin } from '../processors/app/rollout.ts';
import { connectorTopics } from '../schemas/app/connector-topics.ts';
import { customerTopics } from '../schemas/app/customer/topics.ts';
import type { SourceSystem } from '../schemas/app/customer/fields.ts';
import type { RolloutFlag } from '../schemas/app/rollout.ts';
import { commandSinkMeasures } from './command-sink-measures.ts';
import type { ConnectorPorts } from './connector-ports.ts';
import { customersOfA, customersOfB } from './origin-records.ts';
import { bearer } from './settings-reader.ts';

/** A system that can be written to. */
interface Target {
  readonly system: SourceSystem;
  readonly flag: RolloutFlag;
  /** Ended early by `signal`, if that can be. */
  readonly write: (writeBack: WriteBack, signal: AbortSignal) => Promise<WriteBackOutcome>;
  readonly isHopeless: (error: unknown) => boolean;
}

const measured = {
  errors: 'write_back_errors_total',
  deadLetters: 'write_back_dead_letters_total',
  waiting: 'write_back_waiting',
  lag: 'write_back_lag_records',
} as const;

export function writeBackConnectors(ports: ConnectorPorts): readonly Connector[] {
  const targets = [systemA(ports), systemB(ports)];
  return targets.flatMap((target) => (target === undefined ? [] : [connectorTo(target, ports)]));
}

function systemA({ systemA: database, ...ports }: ConnectorPorts): Target | undefined {
  const { settings, clock } = ports;
  if (settings.writeBackA === undefined || database === undefined) return undefined;
  const findB = customersOfB(ports);
  const breaker = createCircuitBreaker({ clock, name: 'system-a' });
  return {
    system: 'system_a',
    flag: 'write-back-a',
    write: (writeBack, signal) => breaker.guard(() => writeBackToA(database, writeBack, (uuid) => findB(uuid, signal))),
    isHopeless: refusesRow,
  };
}

function systemB(ports: ConnectorPorts): Target | undefined {
  const {
    settings: { writeBackB },
    clock,
    random,
  } = ports;
  if (writeBackB === undefined) return undefined;
  const { url: baseUrl, token } = writeBackB;
  const findA = customersOfA(ports);
  const http = createHttpSource({
    ...{ fetch, clock, random },
    breaker: createCircuitBreaker({ clock, name: 'system-b' }),
    headers: bearer(token),
    // The sink has patience of its own.
    retries: 0,
  });
  return {
    system: 'system_b',
    flag: 'write-back-b',
    write: (writeBack, signal) => writeBackToB({ http, baseUrl, signal }, writeBack, findA),
    isHopeless: refusesCustomer,
  };
}

function connectorTo({ system, flag, write, isHopeless }: Target, ports: ConnectorPorts): Connector {
  const { settings, rollout, format } = ports;
  const { merged, dlq } = customerTopics(settings.topicPrefix, format);
  const counts = new Map(writeBackOutcomes.map((outcome) => [outcome, 0]));
  const end = new AbortController();
  const name = `${settings.topicPrefix}${flag}`;
  const sink = createCommandSink<WriteBack>({
    ...ports,
    name,
    groupId: ports.applicationIdOf(flag),
    topic: merged.name,
    checkpointTopic: connectorTopics(settings.topicPrefix).checkpoints.name,
    deadLetters: { topic: dlq.name, write: ports.write },
    sessionTimeoutMs: settings.sessionTimeoutMs,
    share: { percent: () => rollout.percentOf(flag), includes: isWithin },
    // Whom the flag holds for must be known before the first customer passes by.
    open: () => rollout.loaded(end.signal),
    prepare: async (values) => merged.value.prepare?.(values),
    decode: ({ value }) => {
      const customer = value === undefined ? undefined : merged.value.deserialize(value);
      return customer === undefined ? undefined : writeBackOf(customer, system);
    },
    carryOut: async (writeBack) => {
      const outcome = await write(writeBack, end.signal);
      counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
      return undefined;
    },
    isHopeless,
  });
  return {
    name: flag,
    start: () => sink.start(),
    close: () => {
      end.abort();
      return sink.close();
    },
    measures: () => [
      ...[...counts].map(([outcome, count]) =>
        measuresWith({ system, outcome })('write_back_total', 'Records of a system that were to be changed.', count),
      ),
      ...commandSinkMeasures(sink, measured, { system }),
      ...sink.lags().map(({ partition, again }) => {
        const measure = measuresWith({ system, partition: String(partition) });
        return measure('write_back_again_records', 'Those still looked at for who came to the flag.', again);
      }),
    ],
  };
}
