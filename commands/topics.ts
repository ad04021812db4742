/** `topics`: creates the topics that applications declare, and reports what of those that are there is not as declared. */
import type { Admin, NewTopic } from '../connectors/log.ts';
import { StreamError } from '../errors.ts';

export interface OpenedTopics {
  readonly admin: Pick<Admin, 'createTopics' | 'describeTopics' | 'topicConfigs'>;
  close(): Promise<void>;
}

export interface TopicsConsole {
  readonly open: () => Promise<OpenedTopics>;
  /** As they are declared, under the names that they have here; no name twice. */
  readonly declared: readonly NewTopic[];
  readonly print: (line: string) => void;
}

const usage = `kafka:create-topics              creates what is missing of the topics of TOPOLOGIES; exits with 1 if one is not as declared
kafka:create-topics -- --dry-run  creates nothing; exits with 1 if one is missing or not as declared`;

/** Returns the exit code: 0 if all topics are as declared, 1 if not, 2 for arguments that make no sense. Changes no topic that is there. */
export async function topicsCommand(args: readonly string[], console: TopicsConsole): Promise<number> {
  const isDryRun = args.length === 1 && args[0] === '--dry-run';
  if (args.length > 0 && !isDryRun) {
    console.print(usage);
    return 2;
  }
  let opened: OpenedTopics | undefined;
  try {
    opened = await console.open();
    return await makeAndCompare(isDryRun, opened.admin, console);
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    console.print(`${error.code}: ${error.message}`);
    return 1;
  } finally {
    await opened?.close();
  }
}

async function makeAndCompare(
  isDryRun: boolean,
  admin: OpenedTopics['admin'],
  { declared, print }: TopicsConsole,
): Promise<number> {
  const created = isDryRun ? [] : (await admin.createTopics(declared)).created;
  const described = await admin.describeTopics(declared.map(({ name }) => name));
  const counts = { topics: declared.length, created: created.length, missing: 0, drifted: 0 };
  for (const topic of declared) {
    const { name } = topic;
    const partitions = described.get(name)?.partitions;
    if (partitions === undefined) {
      counts.missing += 1;
      print(`${name}: missing`);
      continue;
    }
    const drifts = driftsOf(topic, partitions, await admin.topicConfigs(name));
    if (drifts.length > 0) counts.drifted += 1;
    else print(`${name}: ${created.includes(name) ? `created, ${partitions} partitions` : 'as declared'}`);
    for (const drift of drifts) print(`${name}: ${drift}`);
  }
  print(JSON.stringify(counts));
  return counts.missing + counts.drifted === 0 ? 0 : 1;
}

function driftsOf(topic: NewTopic, partitions: number, effective: ReadonlyMap<string, string>): readonly string[] {
  return [...partitionDrift(topic, partitions), ...configDrifts(topic.configs ?? {}, effective)];
}

/** Never mended here: with another number of partitions keys lie elsewhere, and so does the state that was made of them. */
function partitionDrift({ partitions: wanted }: NewTopic, partitions: number): readonly string[] {
  return partitions === wanted
    ? []
    : [`partitions: ${partitions}, declared ${wanted}; this cannot be changed in place`];
}

function configDrifts(
  wanted: Readonly<Record<string, string>>,
  effective: ReadonlyMap<string, string>,
): readonly string[] {
  return Object.entries(wanted).flatMap(([key, value]) => {
    const found = effective.get(key);
    return found !== undefined && isSameConfig(found, value) ? [] : [`${key}: ${found ?? 'unset'}, declared ${value}`];
  });
}

/** Brokers list the items of a list, and write numbers, as they please. */
function isSameConfig(found: string, wanted: string): boolean {
  const items = (text: string): string => text.split(',').sort().join();
  return items(found) === items(wanted) || (wanted !== '' && Number(found) === Number(wanted));
}
