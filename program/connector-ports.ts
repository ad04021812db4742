/** What connectors are given by the process they run in. */
import type { Clock, Logger, Random } from '../clock.ts';
import type { Database } from '../connectors/database.ts';
import type { Log } from '../connectors/log.ts';
import type { OutgoingRecord } from '../connectors/outgoing-record.ts';
import type { Side } from '../schemas/app/sync/entities.ts';
import type { RecordFormat } from '../schemas/app/record-format.ts';
import type { Rollout } from './rollout.ts';
import type { Stores } from '../state-stores/store.ts';
import type { Settings } from './settings.ts';

export interface ConnectorPorts {
  readonly log: Log;
  readonly stores: Stores;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly settings: Settings;
  /** How values of the application's topics are written. */
  readonly format: RecordFormat;
  /** Resolves once the record is in the log. */
  readonly write: (record: OutgoingRecord) => Promise<unknown>;
  /** For the tables; absent: none are kept. */
  readonly database: Database | undefined;
  /** That are kept in sync; absent: none are. */
  readonly synced: Readonly<Record<Side, Database>> | undefined;
  /** Whose triggers note changes of employees; absent: nobody reads them here. */
  readonly employees: Database | undefined;
  /** System A's, where anything is written back: to read its customers, and to change them if the settings say so. */
  readonly systemA: Database | undefined;
  readonly rollout: Pick<Rollout, 'percentOf' | 'loaded'>;
  /** Of the application of this name. */
  readonly applicationIdOf: (name: string) => string;
}
