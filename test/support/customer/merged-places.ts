/** The places where a merged customer shows: the topic, the API, and the table in PostgreSQL. */
import { customerRoutes } from '../../../api/app/customer-routes.ts';
import { silentLogger } from '../../../clock.ts';
import { customerView, customerViewMigrations } from '../../../connectors/app/customer-view.ts';
import type { Database } from '../../../connectors/database.ts';
import type { Log } from '../../../connectors/log.ts';
import { postgresDatabase } from '../../../connectors/postgres/postgres-database.ts';
import type { TableSink } from '../../../connectors/table-sink.ts';
import { customerStates } from '../../../processors/app/customer/processors.ts';
import type { CustomerMerged } from '../../../schemas/app/customer/merged.ts';
import { defaultPolicy } from '../../../schemas/app/customer/policy.ts';
import { customerTopics, type CustomerTopics } from '../../../schemas/app/customer/topics.ts';
import { customerMerge } from '../../../topology/app/customer-merge.ts';
import type { StreamInstance } from '../../../topology/runtime/stream-instance.ts';
import { apiOf, type Api } from '../../api/fake-instance.ts';
import { latest, readAll, testInstance } from '../cluster.ts';
import { testSink } from '../sinks.ts';

export interface MergedPlacesOptions {
  readonly log: Log;
  /** Of the topics, which are there. */
  readonly prefix: string;
  /** Of an empty database. */
  readonly viewUrl: string;
}

/** Name and record of system A, as `Ann 1`, by e-mail. */
export type Shown = Readonly<Record<string, string>>;

/** The merge with an API and a table, in this process. */
export class MergedPlaces {
  readonly #log: Log;
  readonly #topics: CustomerTopics;
  readonly #instance: StreamInstance;
  readonly #api: Api;
  readonly #database: Database;
  readonly #sink: TableSink;
  /** All that were ever merged: whoever is gone must be gone everywhere. */
  readonly #known = new Set<string>();

  constructor({ log, prefix, viewUrl }: MergedPlacesOptions) {
    this.#log = log;
    this.#topics = customerTopics(prefix);
    this.#instance = testInstance(log, customerMerge(prefix), { applicationId: `${prefix}customer-merge` });
    const routes = [customerRoutes({ states: customerStates, policy: defaultPolicy })];
    this.#api = apiOf([this.#instance], { routes, rateLimitPerSecond: 0 });
    this.#database = postgresDatabase({ url: viewUrl, logger: silentLogger });
    this.#sink = testSink({
      log,
      name: `${prefix}view`,
      database: this.#database,
      migrations: customerViewMigrations,
      tables: [customerView(this.#topics.merged)],
      deadLetterTopic: this.#topics.dlq.name,
    });
  }

  async start(): Promise<void> {
    this.#sink.start();
    await this.#instance.start();
  }

  async close(): Promise<void> {
    await this.#api.close();
    await this.#instance.close();
    await this.#sink.close();
    await this.#database.close();
  }

  /** The last of each key in `customer.merged`, unless it is a tombstone. */
  async merged(): Promise<Record<string, CustomerMerged>> {
    const all = latest(await readAll(this.#log, this.#topics.merged));
    for (const email of all.keys()) this.#known.add(email ?? '');
    return Object.fromEntries([...all].filter(([, customer]) => customer !== null)) as Record<string, CustomerMerged>;
  }

  /** Whether these customers, and no others, show in all three places. */
  async show(expected: Shown): Promise<boolean> {
    const merged = Object.values(await this.merged()).map((customer) => [customer.email, shownAs(customer)] as const);
    const places = [Object.fromEntries(merged), await this.#answered(), await this.#viewed()];
    return places.every((found) => sorted(found) === sorted(expected));
  }

  /** What the API answers, asked for each customer that was ever merged. */
  async #answered(): Promise<Shown> {
    const shown: Record<string, string> = {};
    for (const email of this.#known) {
      const response = await this.#api.inject(`/customers/${encodeURIComponent(email)}`);
      if (response.statusCode === 404) continue;
      shown[email] = response.statusCode === 200 ? shownAs(response.json<CustomerMerged>()) : response.body;
    }
    return shown;
  }

  async #viewed(): Promise<Shown> {
    // The sink makes the table when it gets its partitions.
    const [table] = (await this.#database.run({ text: `SELECT to_regclass('unified_customers') AS it`, values: [] }))
      .rows;
    if (table?.['it'] === null) return {};
    const text = `SELECT email, name || ' ' || system_a_id AS shown FROM unified_customers`;
    const { rows } = await this.#database.run({ text, values: [] });
    return Object.fromEntries(rows.map(({ email, shown }) => [String(email), String(shown)]));
  }
}

const shownAs = ({ name = '', systemAId = '' }: CustomerMerged): string => `${name} ${systemAId}`;
const sorted = (shown: Shown): string => JSON.stringify(Object.entries(shown).sort());
