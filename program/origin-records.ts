/** Single customers of the systems, as they are now: whether a value still stands where it comes from, before it is written elsewhere. */
import { createCircuitBreaker } from '../connectors/circuit-breaker.ts';
import { createHttpSource } from '../connectors/http-source.ts';
import { hasCode } from '../errors.ts';
import { isObject } from '../schemas/app/reader.ts';
import type { ConnectorPorts } from './connector-ports.ts';
import { sqliteFile } from './sqlite-file.ts';
import { bearer } from './settings-reader.ts';

/** A row of the other system is locked meanwhile. */
const timeoutMs = 2_000;

/** System B's customers by uuid; `undefined` for one that its API does not show by itself, or if it is asked nowhere. */
export function customersOfB({
  settings: { systemB, writeBackB },
  clock,
  random,
}: Pick<ConnectorPorts, 'settings' | 'clock' | 'random'>): (
  uuid: string,
  signal: AbortSignal,
) => Promise<object | undefined> {
  const asked = writeBackB ?? systemB;
  if (asked === undefined) return () => Promise.resolve(undefined);
  const { url, token } = asked;
  const http = createHttpSource({
    ...{ fetch, clock, random, timeoutMs, retries: 0 },
    breaker: createCircuitBreaker({ clock, name: 'system-b' }),
    headers: bearer(token),
  });
  return async (uuid, signal) => {
    try {
      const { body } = await http.get(`${url.replace(/\/+$/, '')}/customers/${encodeURIComponent(uuid)}`, { signal });
      return isObject(body) ? body : undefined;
    } catch (error) {
      if (hasCode(error, 'DEPENDENCY_REFUSED') && [404, 405, 410].includes(Number(error.facts['status'])))
        return undefined;
      throw error;
    }
  };
}

/** System A's customers by id, from its database or its file; `undefined` for one that is not there, or if neither can be read. */
export function customersOfA({
  settings: { systemAFile },
  systemA,
}: Pick<ConnectorPorts, 'settings' | 'systemA'>): (id: string) => Promise<object | undefined> {
  if (systemA !== undefined)
    return async (id) => {
      const text = 'SELECT to_jsonb(c) AS row FROM customers_a AS c WHERE id = $1';
      const row = (await systemA.run({ text, values: [id] })).rows[0]?.['row'];
      return isObject(row) ? row : undefined;
    };
  if (systemAFile === undefined) return () => Promise.resolve(undefined);
  const file = sqliteFile(systemAFile.path);
  return async (id) =>
    (await file.run({ text: 'SELECT * FROM customers_a WHERE CAST(id AS TEXT) = ?', values: [id] })).rows[0];
}
