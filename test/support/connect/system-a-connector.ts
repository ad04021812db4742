/** The connector of system A as it is shipped. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { SystemADatabase } from '../customer/system-a-database.ts';

export interface ShippedConnector {
  readonly name: string;
  readonly config: Readonly<Record<string, string>>;
}

const file = fileURLToPath(new URL('../../../connectors/system-a-cdc.json', import.meta.url));

export const shippedConnector = JSON.parse(readFileSync(file, 'utf8')) as ShippedConnector;

/** As it is but for where things are, with these settings on top. */
export function connectorFor(
  { url }: SystemADatabase,
  topic: string,
  more: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const { hostname, port, pathname } = new URL(url);
  return {
    ...shippedConnector.config,
    'database.hostname': hostname,
    'database.port': port,
    'database.dbname': pathname.slice(1),
    'transforms.route.replacement': topic,
    'topic.creation.default.replication.factor': '1',
    ...more,
  };
}
