/** What connectors are given in tests that run them in this process. */
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import type { Log } from '../../connectors/log.ts';
import type { ConnectorPorts } from '../../program/connector-ports.ts';
import { createRecordWriter } from '../../program/record-writer.ts';
import { readSettings } from '../../program/settings.ts';
import { jsonFormat } from '../../schemas/app/record-format.ts';
import { memoryStores } from '../../state-stores/memory.ts';

/** With the settings of this environment, and no database but those among `given`. */
export function connectorPorts(
  log: Log,
  { env, topologies }: Pick<Parameters<typeof readSettings>[0], 'env' | 'topologies'>,
  given: Partial<ConnectorPorts> = {},
): ConnectorPorts {
  const writer = createRecordWriter(log, systemClock);
  return {
    log,
    stores: memoryStores(),
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    settings: readSettings({ env: { SESSION_TIMEOUT_MS: '1500', ...env }, topologies }),
    format: jsonFormat,
    write: (record) => writer.write(record),
    database: undefined,
    synced: undefined,
    employees: undefined,
    systemA: undefined,
    rollout: { percentOf: () => 0, loaded: () => Promise.resolve() },
    applicationIdOf: (name) => name,
    ...given,
  };
}
