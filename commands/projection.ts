/** `projection rebuild | verify NAME`: makes a projection of running instances anew, or compares it with its events. */
import { refused, type ApiConsole } from './api-client.ts';
import { isObject } from '../api/peer-answer.ts';

const usage = `projection rebuild NAME   makes it anew beside the one that answers, which it then replaces
projection verify NAME    compares it with its events, folded once more by other means; exits with 1 on any difference
  NAME is balance, account-transactions or daily-totals; API_URL, or http://127.0.0.1:PORT, is where an instance answers`;

const lookEveryMs = 500;
/** Of a report, to be added up. */
const countNames = ['accounts', 'entries', 'differenceCount'] as const;
type CountName = (typeof countNames)[number];

/** Returns the exit code: 0 if all is well, 1 if not, 2 for arguments that make no sense. */
export async function projectionCommand(args: readonly string[], console: ApiConsole): Promise<number> {
  const [command, name, ...more] = args;
  const run = command === 'rebuild' ? rebuild : command === 'verify' ? verify : undefined;
  if (run !== undefined && name !== undefined && more.length === 0)
    return await run(`/admin/projections/${encodeURIComponent(name)}`, console);
  console.print(usage);
  return 2;
}

async function rebuild(path: string, { request, print, clock }: ApiConsole): Promise<number> {
  const begun = await request('POST', `${path}/rebuild`);
  const target = buildingOf(begun.body)['generation'];
  if (begun.status !== 202 || typeof target !== 'number') return refused(begun.body, print);
  const startMs = clock.monotonicMs();
  let last = '';
  while (true) {
    const { status, body } = await request('GET', path);
    if (status !== 200 || !isObject(body)) return refused(body, print);
    if (Number(body['serving']) >= target) break;
    const { done, total, failure, hasFailed } = buildingOf(body);
    const line = `generation ${target}: ${String(done)} of ${String(total)} offsets`;
    if (line !== last) print(line);
    last = line;
    if (hasFailed === true)
      return refused({ detail: `generation ${target} has failed: ${String(failure)}; the one before goes on` }, print);
    await clock.sleep(lookEveryMs);
  }
  print(`generation ${target} answers, after ${((clock.monotonicMs() - startMs) / 1_000).toFixed(1)} s`);
  return 0;
}

async function verify(path: string, { request, print }: ApiConsole): Promise<number> {
  const { status, body } = await request('GET', path);
  const owners: unknown = isObject(body) ? body['owners'] : undefined;
  if (status !== 200 || !Array.isArray(owners)) return refused(body, print);
  const sums = { partitions: 0, accounts: 0, entries: 0, differenceCount: 0 };
  for (const { partition, url, isHere } of owners as readonly Owner[]) {
    const at = isHere || url === null ? path : `${url}${path}`;
    const report = await request('POST', `${at}/verify?partition=${partition}`);
    if (report.status !== 200) {
      print(`partition ${partition} was not compared`);
      return refused(report.body, print);
    }
    addUp(sums, report.body, print);
  }
  print(JSON.stringify(sums));
  return sums.partitions > 0 && sums.differenceCount === 0 ? 0 : 1;
}

function addUp(sums: Record<'partitions' | CountName, number>, report: unknown, print: (line: string) => void): void {
  if (!isObject(report)) return;
  sums.partitions += 1;
  for (const name of countNames) sums[name] += Number(report[name]);
  const { differences } = report;
  if (Array.isArray(differences)) for (const difference of differences) print(String(difference));
}

interface Owner {
  readonly partition: number;
  readonly url: string | null;
  readonly isHere: boolean;
}

function buildingOf(body: unknown): Readonly<Record<string, unknown>> {
  const building: unknown = isObject(body) ? body['building'] : undefined;
  return isObject(building) ? building : {};
}
