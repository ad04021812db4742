/** `topics`: creates the topics that applications declare, reports what of those that are there is not as declared, and mends what can be mended. */
import type { Admin, NewTopic } from '../connectors/log.ts';
import { StreamError } from '../errors.ts';

export interface OpenedTopics {
  readonly admin: Pick<Admin, 'createTopics' | 'describeTopics' | 'topicConfigs' | 'alterTopicConfigs' | 'brokerCount'>;
  close(): Promise<void>;
}

export interface TopicsConsole {
  readonly open: () => Promise<OpenedTopics>;
  /** As they are declared, under the names that they have here; no name twice. */
  readonly declared: readonly NewTopic[];
  /** That they should have where there are so many brokers; absent: it does not matter. */
  readonly replicationFactor: number | undefined;
  readonly print: (line: string) => void;
}

const usage = `kafka:create-topics              creates what is missing of the topics of TOPOLOGIES; exits with 1 if one is not as declared
kafka:create-topics -- --fix      also sets every configuration as it is declared; what then expires or is compacted is gone
kafka:create-topics -- --dry-run  changes nothing; exits with 1 if one is missing or not as declared`;

type Mode = 'create' | 'fix' | 'dry-run';

/** Returns the exit code: 0 if all topics are as declared, 1 if not, 2 for arguments that make no sense. */
export async function topicsCommand(args: readonly string[], console: TopicsConsole): Promise<number> {
  const mode = modeOf(args);
  if (mode === undefined) {
    console.print(usage);
    return 2;
  }
  let opened: OpenedTopics | undefined;
  try {
    opened = await console.open();
    return await new Topics(mode, opened.admin, console).run();
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    console.print(`${error.code}: ${error.message}`);
    return 1;
  } finally {
    await opened?.close();
  }
}

function modeOf(args: readonly string[]): Mode | undefined {
  const [option, ...more] = args;
  if (option === undefined) return 'create';
  const modes: Readonly<Record<string, Mode>> = { '--fix': 'fix', '--dry-run': 'dry-run' };
  return more.length === 0 ? modes[option] : undefined;
}

/** What of a topic is not as declared. */
interface Drift {
  readonly what: string;
  readonly found: string;
  readonly declared: string;
  /** Whether it can be set while the topic is there. */
  readonly isConfig: boolean;
}

class Topics {
  readonly #mode: Mode;
  readonly #admin: OpenedTopics['admin'];
  readonly #console: TopicsConsole;
  readonly #counts: Record<'topics' | 'created' | 'mended' | 'missing' | 'drifted', number>;

  constructor(mode: Mode, admin: OpenedTopics['admin'], console: TopicsConsole) {
    this.#mode = mode;
    this.#admin = admin;
    this.#console = console;
    this.#counts = { topics: console.declared.length, created: 0, mended: 0, missing: 0, drifted: 0 };
  }

  async run(): Promise<number> {
    const { declared, print } = this.#console;
    const created = this.#mode === 'dry-run' ? [] : (await this.#admin.createTopics(declared)).created;
    this.#counts.created = created.length;
    const described = await this.#admin.describeTopics(declared.map(({ name }) => name));
    const replicas = Math.min(this.#console.replicationFactor ?? 1, await this.#admin.brokerCount());
    for (const topic of declared) {
      const { name } = topic;
      const found = described.get(name);
      if (found === undefined) {
        this.#counts.missing += 1;
        print(`${name}: missing`);
        continue;
      }
      const configs = configDrifts(topic.configs ?? {}, await this.#admin.topicConfigs(name));
      const drifts = [...placeDrifts({ ...topic, replicationFactor: replicas }, found), ...configs];
      if (drifts.length > 0) await this.#deal(name, drifts);
      else print(`${name}: ${created.includes(name) ? `created, ${topic.partitions} partitions` : 'as declared'}`);
    }
    print(JSON.stringify(this.#counts));
    return this.#counts.missing + this.#counts.drifted === 0 ? 0 : 1;
  }

  /** Sets what can be set, and tells the rest. */
  async #deal(name: string, drifts: readonly Drift[]): Promise<void> {
    const settable = this.#mode === 'fix' ? drifts.filter(({ isConfig }) => isConfig) : [];
    if (settable.length > 0) {
      const configs = Object.fromEntries(settable.map(({ what, declared }) => [what, declared]));
      await this.#admin.alterTopicConfigs(name, configs);
      this.#counts.mended += 1;
    }
    if (drifts.length > settable.length) this.#counts.drifted += 1;
    for (const drift of drifts) {
      const { what, found, declared, isConfig } = drift;
      const more = settable.includes(drift) ? ', mended' : isConfig ? '' : '; this cannot be changed in place';
      this.#console.print(`${name}: ${what}: ${found}, declared ${declared}${more}`);
    }
  }
}

/** Never mended here: with another number of partitions keys lie elsewhere, and so does the state that was made of them; replicas are moved by those who run the brokers. */
function placeDrifts(
  { partitions, replicationFactor = 1 }: NewTopic,
  found: { readonly partitions: number; readonly replicationFactor: number },
): readonly Drift[] {
  const drifts: Drift[] = [];
  if (found.partitions !== partitions)
    drifts.push({ what: 'partitions', found: String(found.partitions), declared: String(partitions), isConfig: false });
  // More of them do no harm.
  if (found.replicationFactor < replicationFactor)
    drifts.push({
      what: 'replicas',
      found: String(found.replicationFactor),
      declared: String(replicationFactor),
      isConfig: false,
    });
  return drifts;
}

function configDrifts(
  wanted: Readonly<Record<string, string>>,
  effective: ReadonlyMap<string, string>,
): readonly Drift[] {
  return Object.entries(wanted).flatMap(([what, declared]) => {
    const found = effective.get(what);
    return found !== undefined && isSameConfig(found, declared)
      ? []
      : [{ what, found: found ?? 'unset', declared, isConfig: true }];
  });
}

/** Brokers list the items of a list, and write numbers, as they please. */
function isSameConfig(found: string, wanted: string): boolean {
  const items = (text: string): string => text.split(',').sort().join();
  return items(found) === items(wanted) || (wanted !== '' && Number(found) === Number(wanted));
}
