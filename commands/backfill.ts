/** `backfill [SOURCE]`: has running instances read everything that a system has once more, and tells what became of it. */
import { isObject } from '../api/peer-answer.ts';
import { refused, type ApiConsole } from './api-client.ts';

const usage = `backfill SOURCE   system-a or system-b; one that is under way is followed. Exits with 1 if a record failed
  API_URL, or http://127.0.0.1:PORT, is where an instance answers`;

type Report = Readonly<Record<string, unknown>>;

const path = '/admin/backfill';
const lookEveryMs = 500;

/** Returns the exit code: 0 if every record was merged, 1 if not, 2 for arguments that make no sense. */
export async function backfillCommand(args: readonly string[], console: ApiConsole): Promise<number> {
  const [source, ...more] = args;
  if (source === undefined || more.length > 0) {
    console.print(usage);
    return 2;
  }
  const begun = await console.request('POST', path, { source });
  if (begun.status !== 202 || !isObject(begun.body)) return refused(begun.body, console.print);
  return await follow(begun.body, console);
}

async function follow(begun: Report, { request, print, clock }: ApiConsole): Promise<number> {
  let last = '';
  for (;;) {
    const { status, body } = await request('GET', path);
    if (status !== 200) return refused(body, print);
    const report = backfillOf(body, begun['id']) ?? begun;
    if (report['state'] === 'done') return told(report, print);
    const line = `${String(report['state'])}: ${String(report['total'])} records`;
    if (line !== last) print(line);
    last = line;
    await clock.sleep(lookEveryMs);
  }
}

function told({ total, merged, failed, failures }: Report, print: ApiConsole['print']): number {
  print(JSON.stringify({ total, merged, failed }));
  if (Array.isArray(failures)) for (const failure of failures) print(String(failure));
  return failed === 0 ? 0 : 1;
}

/** The one that was begun: what the instance knows may be a moment old. */
function backfillOf(body: unknown, id: unknown): Report | undefined {
  const items: unknown = isObject(body) ? body['items'] : undefined;
  return Array.isArray(items) ? items.filter(isObject).find((item) => item['id'] === id) : undefined;
}
