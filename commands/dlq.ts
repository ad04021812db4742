/** `dlq list | show | replay | discard`: dead letters from the command line, through the same API that HTTP clients use. */
import { parseArgs } from 'node:util';
import type { Answer, Request } from './api-client.ts';
import { isObject } from '../api/peer-answer.ts';

export interface DlqConsole {
  readonly request: Request;
  readonly print: (line: string) => void;
  /** Who decides, unless `--by` says otherwise. */
  readonly user: string;
}

const usage = `dlq list [--state open|replayed|discarded] [--code CODE] [--reason WORD] [--topic TOPIC] [--node STEP] [--limit N] [--cursor C]
dlq show ID
dlq replay ID...
dlq discard ID... --reason TEXT
  --application ID  which one, where several have dead letters
  --by NAME         who decides; default: the user of this machine
  --url URL         of a running instance; default: KAFKA_BROKERS directly, else http://127.0.0.1:PORT`;

const filters = ['state', 'code', 'reason', 'topic', 'node', 'limit', 'cursor'] as const;

const options = {
  ...Object.fromEntries(filters.map((name) => [name, { type: 'string' } as const])),
  application: { type: 'string' },
  reason: { type: 'string' },
  by: { type: 'string' },
  url: { type: 'string' },
} as const;

type Values = Readonly<Record<string, string | undefined>>;

export interface DlqArguments {
  readonly command: string;
  readonly ids: readonly string[];
  readonly values: Values;
}

/** `undefined` if they make no sense. */
export function parseDlqArguments(args: readonly string[]): DlqArguments | undefined {
  try {
    const { positionals, values } = parseArgs({ args: [...args], options, allowPositionals: true });
    const [command = '', ...ids] = positionals;
    const isMeant =
      command === 'list' ? ids.length === 0 : ['show', 'replay', 'discard'].includes(command) && ids.length > 0;
    const lacksReason = command === 'discard' && values['reason'] === undefined;
    return isMeant && !lacksReason ? { command, ids, values } : undefined;
  } catch {
    return undefined;
  }
}

/** Returns the exit code: 0 if all was done, 1 if something was refused, 2 for arguments that make no sense. */
export async function dlqCommand(args: DlqArguments | undefined, console: DlqConsole): Promise<number> {
  if (args === undefined) {
    console.print(usage);
    return 2;
  }
  const application = args.values['application'] ?? (await onlyApplication(console));
  if (application === undefined) return 1;
  const base = `/admin/dlq/${encodeURIComponent(application)}`;
  if (args.command === 'list') return await list(base, args.values, console);
  let exitCode = 0;
  for (const id of args.ids) if (!(await act(base, id, { ...args, console }))) exitCode = 1;
  return exitCode;
}

async function onlyApplication(console: DlqConsole): Promise<string | undefined> {
  const { status, body } = await console.request('GET', '/admin/dlq');
  const listed: unknown = isObject(body) ? body['applications'] : undefined;
  const names = Array.isArray(listed) ? listed.map(String) : [];
  if (status !== 200) refused('dlq', { status, body }, console);
  else if (names.length === 0) console.print('no application here has dead letters');
  else if (names.length > 1) console.print(`--application is needed: one of ${names.join(', ')}`);
  return names.length === 1 ? names[0] : undefined;
}

async function list(base: string, values: Values, console: DlqConsole): Promise<number> {
  const query = new URLSearchParams();
  for (const name of filters) if (values[name] !== undefined) query.set(name, values[name]);
  const answer = await console.request('GET', `${base}?${query.toString()}`);
  const { status, body } = answer;
  if (status !== 200 || !isObject(body) || !Array.isArray(body['items'])) return refused('list', answer, console);
  for (const item of body['items']) console.print(lineOf(item));
  if (typeof body['next'] === 'string') console.print(`more: --cursor ${body['next']}`);
  return 0;
}

function lineOf(item: unknown): string {
  if (!isObject(item) || !isObject(item['origin'])) return '';
  const { topic, partition, offset } = item['origin'];
  const failedAt = new Date(Number(item['failedAtMs'])).toISOString();
  const where = `${String(topic)}/${String(partition)}@${String(offset)}`;
  const { id, state, node, code, reason, message } = item;
  const what = typeof reason === 'string' ? `${String(code)}:${reason}` : code;
  return [id, state, failedAt, where, node, what, printable(message)].join('  ');
}

/** One line of it, without what could steer a terminal. */
function printable(text: unknown): string {
  return String(text)
    .replace(/\p{Cc}+/gu, ' ')
    .slice(0, 160);
}

async function act(
  base: string,
  id: string,
  { command, values, console }: DlqArguments & { readonly console: DlqConsole },
): Promise<boolean> {
  const path = `${base}/${encodeURIComponent(id)}`;
  const { reason, by = console.user } = values;
  const answer =
    command === 'show'
      ? await console.request('GET', path)
      : await console.request('POST', `${path}/${command}`, reason === undefined ? { by } : { by, reason });
  if (answer.status !== 200) {
    refused(id, answer, console);
    return false;
  }
  console.print(command === 'show' ? JSON.stringify(answer.body, undefined, 2) : `${id}  ${stateOf(answer.body)}`);
  return true;
}

function stateOf(body: unknown): string {
  if (!isObject(body)) return '';
  return typeof body['target'] === 'string' ? `${String(body['state'])} into ${body['target']}` : String(body['state']);
}

function refused(what: string, { status, body }: Answer, console: DlqConsole): 1 {
  const detail: unknown = isObject(body) ? body['detail'] : undefined;
  console.print(`${what}  ${String(status)} ${typeof detail === 'string' ? printable(detail) : 'no answer'}`);
  return 1;
}
