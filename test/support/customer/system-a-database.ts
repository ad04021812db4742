/** System A's database as change capture finds it: the table, the publication and the role of the shipped script. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import type { RunningPostgres } from '../postgres.ts';

const script = readFileSync(fileURLToPath(new URL('../../../connectors/system-a-cdc.sql', import.meta.url)), 'utf8');

const table = `CREATE TABLE public.customers_a (
  id bigint PRIMARY KEY, email text, name text NOT NULL, address text, vip boolean DEFAULT false,
  balance numeric(12, 2) NOT NULL DEFAULT 0, contract_start date, contract_type text DEFAULT 'basic',
  last_updated timestamptz(3) NOT NULL DEFAULT now())`;

export const insertA = (id: number, email: string, name: string): string =>
  `INSERT INTO public.customers_a (id, email, name, address, contract_start, contract_type)
   VALUES (${String(id)}, '${email}', '${name}', 'Elm 1', '2026-02-03', NULL)`;

export class SystemADatabase {
  static readonly password = 'capture';
  /** As its superuser. */
  readonly url: string;
  /** As whom changes are captured. */
  readonly captureUrl: string;
  #client: pg.Client | undefined;

  private constructor(url: string) {
    this.url = url;
    const capture = new URL(url);
    capture.username = 'debezium';
    capture.password = SystemADatabase.password;
    this.captureUrl = capture.href;
  }

  /** On a server that has none yet: roles belong to the whole server. */
  static async create(postgres: RunningPostgres): Promise<SystemADatabase> {
    const made = new SystemADatabase(await postgres.createDatabase('system_a'));
    await made.run(table, script.replace(":'password'", pg.escapeLiteral(SystemADatabase.password)));
    return made;
  }

  /** One statement after the other, over one connection. */
  async run(...statements: readonly string[]): Promise<void> {
    for (const statement of statements) await this.query(statement);
  }

  async query(statement: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
    this.#client ??= await connected(this.url);
    return (await this.#client.query<Record<string, unknown>>(statement)).rows;
  }

  /** The next statement connects anew: for when the server was away. */
  async close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.end();
  }
}

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}
