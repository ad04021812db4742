/** `rollout-report`: whether to go on with a rollout, for people and for scripts. */
import { isObject } from '../api/peer-answer.ts';
import type { GateCheck } from '../processors/app/shadow/tallies.ts';
import type { Request } from './api-client.ts';
import { instanceChecks } from './instance-metrics.ts';

interface ReportConsole {
  readonly request: Request;
  readonly print: (line: string) => unknown;
}

const usage = `Usage: npm run rollout:report -- [--days N] [--comparisons-min N] [--instances URL,URL…]
  whether what was compared in the last N days (7) allows to go on; at least so many comparisons (1000). And whether these
  instances (the one that is asked) answer reads fast enough and show customers soon enough.
  Exit code 0: go, 1: no-go, or nobody could say, 2: these arguments make no sense.
  API_URL, or http://127.0.0.1:PORT, is where an instance with the topology shadow answers`;

const parameters: Readonly<Record<string, string>> = { '--days': 'days', '--comparisons-min': 'comparisonsMin' };

/** A page of metrics each. */
const instancesMax = 100;

/** Returns the exit code: 0 for go, 1 for no-go or no report, 2 for arguments that make no sense. */
export async function rolloutReportCommand(
  args: readonly string[],
  { request, print }: ReportConsole,
): Promise<number> {
  const asked = readArguments(args);
  if (asked === undefined) {
    print(usage);
    return 2;
  }
  const { status, body } = await request('GET', `/admin/rollout-report?${asked.query.toString()}`);
  const report = readReport(status, body);
  if (report === undefined) {
    print(`no report: ${isObject(body) && typeof body['detail'] === 'string' ? body['detail'] : `status ${status}`}`);
    return 1;
  }
  const pages = await pagesOf(asked.instances, request);
  if (pages === undefined) {
    print('no report: an instance shows no metrics');
    return 1;
  }
  const checks = [...report, ...instanceChecks(pages)];
  for (const { check, isPassed, value, limit } of checks)
    print(`${isPassed ? 'passed' : 'FAILED'}  ${check}: ${round(value)} (limit ${round(limit)})`);
  const isGo = checks.every(({ isPassed }) => isPassed);
  print(isGo ? 'GO' : 'NO-GO');
  return isGo ? 0 : 1;
}

/** `undefined` unless all of them answer. */
async function pagesOf(instances: readonly string[], request: Request): Promise<readonly string[] | undefined> {
  const answers = await Promise.all(instances.map((url) => request('GET', `${url}/metrics`)));
  const pages = answers.flatMap(({ status, body }) => (status === 200 && typeof body === 'string' ? [body] : []));
  return pages.length === answers.length ? pages : undefined;
}

function readReport(status: number, body: unknown): readonly GateCheck[] | undefined {
  if (status !== 200 || !isObject(body) || !Array.isArray(body['checks'])) return undefined;
  return body['checks'] as readonly GateCheck[];
}

const round = (value: number): string => String(Math.floor(value * 1e6) / 1e6);

interface Asked {
  readonly query: URLSearchParams;
  /** Without a slash at the end; empty for the one that is asked. */
  readonly instances: readonly string[];
}

function readArguments(args: readonly string[]): Asked | undefined {
  const query = new URLSearchParams();
  let instances = [''];
  for (let index = 0; index < args.length; index += 2) {
    const [option = '', value = ''] = args.slice(index, index + 2);
    const name = parameters[option];
    if (option === '--instances') {
      instances = value.split(',').map((url) => url.replace(/\/+$/, ''));
      if (instances.length > instancesMax || !instances.every((url) => /^https?:/.test(url) && URL.canParse(url)))
        return undefined;
    } else if (name !== undefined && /^\d{1,9}$/.test(value)) query.set(name, value);
    else return undefined;
  }
  return { query, instances };
}
