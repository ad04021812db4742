/** `rollout-report`: whether to go on with a rollout, for people and for scripts. */
import { isObject } from '../api/peer-answer.ts';
import type { Request } from './api-client.ts';

interface ReportConsole {
  readonly request: Request;
  readonly print: (line: string) => unknown;
}

const usage = `Usage: npm run rollout:report -- [--days N] [--comparisons-min N]
  whether what was compared in the last N days (7) allows to go on; at least so many comparisons (1000).
  Exit code 0: go, 1: no-go, or nobody could say, 2: these arguments make no sense.
  API_URL, or http://127.0.0.1:PORT, is where an instance with the topology shadow answers`;

const parameters: Readonly<Record<string, string>> = { '--days': 'days', '--comparisons-min': 'comparisonsMin' };

/** Returns the exit code: 0 for go, 1 for no-go or no report, 2 for arguments that make no sense. */
export async function rolloutReportCommand(
  args: readonly string[],
  { request, print }: ReportConsole,
): Promise<number> {
  const query = readArguments(args);
  if (query === undefined) {
    print(usage);
    return 2;
  }
  const { status, body } = await request('GET', `/admin/rollout-report?${query.toString()}`);
  const report = readReport(status, body);
  if (report === undefined) {
    print(`no report: ${isObject(body) && typeof body['detail'] === 'string' ? body['detail'] : `status ${status}`}`);
    return 1;
  }
  for (const { check, isPassed, value, limit } of report.checks)
    print(`${isPassed ? 'passed' : 'FAILED'}  ${check}: ${round(value)} (limit ${round(limit)})`);
  print(report.isGo ? 'GO' : 'NO-GO');
  return report.isGo ? 0 : 1;
}

interface Report {
  readonly isGo: boolean;
  readonly checks: readonly Check[];
}

function readReport(status: number, body: unknown): Report | undefined {
  if (status !== 200 || !isObject(body) || !Array.isArray(body['checks'])) return undefined;
  return { isGo: body['go'] === true, checks: body['checks'] as readonly Check[] };
}

interface Check {
  readonly check: string;
  readonly isPassed: boolean;
  readonly value: number;
  readonly limit: number;
}

const round = (value: number): string => String(Math.floor(value * 1e6) / 1e6);

function readArguments(args: readonly string[]): URLSearchParams | undefined {
  const query = new URLSearchParams();
  for (let index = 0; index < args.length; index += 2) {
    const name = parameters[args[index] ?? ''];
    const value = args[index + 1] ?? '';
    if (name === undefined || !/^\d{1,9}$/.test(value)) return undefined;
    query.set(name, value);
  }
  return query;
}
