/** What people who start the application are shown: where it listens, what to try, and customers worth a look. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance } from 'fastify';
import type { Application, Ask } from '../api/app/application.ts';
import type { Clock, Logger } from '../clock.ts';
import { createJsonLogger } from '../json-logger.ts';
import { bearer } from './settings-reader.ts';
import type { Settings } from './settings.ts';
import type { Terminal } from './terminal.ts';

/** Between two looks, and for how long samples may take to arrive and be merged. */
const lookEveryMs = 500;
const findingsMs = 20_000;

export function printExamples(listening: string, chosen: readonly Application[], terminal: Terminal): void {
  terminal.line('Try:');
  const paths = [
    ...chosen.flatMap(({ examples }) => examples),
    '/admin/topology',
    '/admin/tasks',
    '/metrics',
    '/openapi.json',
  ];
  for (const path of paths) terminal.line(`  ${listening}${path}`);
}

export function askerOf(api: FastifyInstance, { apiToken }: Settings): Ask {
  const headers = bearer(apiToken);
  return async (path) => {
    // While the API closes it answers nobody.
    const response = await api.inject({ url: path, headers }).catch(() => undefined);
    return response?.statusCode === 200 ? response.json<unknown>() : undefined;
  };
}

/** Tries for a while. */
export async function showFindings(
  listening: string,
  chosen: readonly Application[],
  ask: Ask,
  { terminal, clock, signal }: { readonly terminal: Terminal; readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  const untilMs = clock.monotonicMs() + findingsMs;
  for (const { findings } of chosen)
    while (findings !== undefined && !signal.aborted && clock.monotonicMs() < untilMs) {
      const paths = await findings(ask);
      for (const path of paths) terminal.line(`  ${listening}${path}`);
      if (paths.length > 0) break;
      await clock.sleep(lookEveryMs, signal);
    }
}

/** JSON lines to stderr. Someone who watches progress on a terminal sees warnings only, unless asked for more. */
export function createLogger({ logLevel }: Settings, terminal: Terminal, clock: Clock): Logger {
  const isWatched = process.stdout.isTTY && (process.env['LOG_LEVEL'] ?? '') === '';
  return createJsonLogger({
    level: isWatched ? 'warn' : logLevel,
    clock,
    write: (line) => terminal.around(() => process.stderr.write(`${line}\n`)),
  });
}

export function describeLog({ kafka, dataDir }: Settings): string {
  return kafka === undefined ? `the embedded log in ${dataDir}` : `Kafka at ${kafka.brokers.join(', ')}`;
}

export function version(): string {
  const file = fileURLToPath(import.meta.resolve('rivulet/package.json'));
  const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'));
  const isPackage = typeof parsed === 'object' && parsed !== null && 'version' in parsed;
  return isPackage ? String(parsed.version) : '';
}
