/** What writes merged customers back, in this process. */
import { silentLogger } from '../../../clock.ts';
import type { EmbeddedLog } from '../../../connectors/embedded/embedded-log.ts';
import { postgresDatabase } from '../../../connectors/postgres/postgres-database.ts';
import type { ConnectorPorts } from '../../../program/connector-ports.ts';
import { writeBackConnectors } from '../../../program/write-back-connectors.ts';
import { connectorPorts } from '../connector-ports.ts';
import { measuredBy } from '../measured.ts';

export interface RunningWriteBack {
  /** As a process that ends: neither leaves its group nor ends what it had begun. */
  kill(): Promise<void>;
  close(): Promise<void>;
  /** The sum over what has this name and these labels. */
  measured(name: string, labels?: Readonly<Record<string, string>>): number;
}

export function startWriteBack(
  log: EmbeddedLog,
  {
    urlOfA,
    urlOfB = '',
    percentOf = () => 100,
  }: {
    readonly urlOfA?: string;
    readonly urlOfB?: string;
    readonly percentOf?: ConnectorPorts['rollout']['percentOf'];
  },
): RunningWriteBack {
  const own = log.client();
  const systemA = urlOfA === undefined ? undefined : postgresDatabase({ url: urlOfA, logger: silentLogger });
  const env = { WRITE_BACK_A_DATABASE_URL: urlOfA, WRITE_BACK_B_URL: urlOfB };
  const rollout = { percentOf, loaded: () => Promise.resolve() };
  const connectors = writeBackConnectors(connectorPorts(own, { env, topologies: [] }, { systemA, rollout }));
  for (const connector of connectors) connector.start();
  const end = async (): Promise<void> => {
    await Promise.all(connectors.map((connector) => connector.close()));
    await systemA?.close();
  };
  let ending: Promise<void> | undefined;
  return {
    kill: async () => {
      await own.close();
      await (ending ??= end());
    },
    close: async () => {
      await (ending ??= end().then(() => own.close()));
    },
    measured: measuredBy(connectors),
  };
}
