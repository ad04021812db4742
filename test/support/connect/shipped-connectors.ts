/** Connectors as they are shipped. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface ShippedConnector {
  readonly name: string;
  readonly config: Readonly<Record<string, string>>;
}

export function shippedConnector(name: 'system-a-cdc' | 'legacy-sync-cdc' | 'revamp-sync-cdc'): ShippedConnector {
  const file = fileURLToPath(new URL(`../../../connectors/${name}.json`, import.meta.url));
  return JSON.parse(readFileSync(file, 'utf8')) as ShippedConnector;
}

/** As it is but for where the database of this URL is and where changes go, with these settings on top. */
export function placed(
  { config }: ShippedConnector,
  { url, topic }: { readonly url: string; readonly topic: string },
  more: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const { hostname, port, pathname } = new URL(url);
  return {
    ...config,
    'database.hostname': hostname,
    'database.port': port,
    'database.dbname': pathname.slice(1),
    'transforms.route.replacement': topic,
    'topic.creation.default.replication.factor': '1',
    ...more,
  };
}
