/** A topology while it is being declared: collects nodes, stores and internal topics, and refuses what cannot work. */
import { StreamError, assert } from '../errors.ts';
import type { CreateNode } from '../processors/node.ts';
import { wrapped } from '../processors/wrapped.ts';
import { checkName } from '../schemas/topic.ts';
import type { AnyStoreSpec } from '../state-stores/spec.ts';
import { copartitions } from './copartition.ts';
import { finalPolicy, policyProblem, type ErrorPolicy } from './error-policy.ts';
import type {
  GlobalStore,
  GraphNode,
  ProcessorNode,
  RepartitionTopic,
  SinkNode,
  SourceChangelog,
  SourceNode,
  Topology,
  TopologySettings,
} from './graph.ts';
import { stepsBefore } from './null-keys.ts';
import { parkedStores } from './parked-store.ts';
import { changelogProblem, type SourceChangelogTable } from './source-changelog.ts';

/** What a processor node is made of. */
export interface Step {
  readonly name: string;
  /** What it is, for messages: `count`, `stream-table join`. */
  readonly what: string;
  readonly parents: readonly string[];
  readonly create: CreateNode;
  readonly stores?: readonly AnyStoreSpec[];
  /** Names of stores of earlier steps. */
  readonly reads?: readonly string[];
  /** Names of global stores. */
  readonly globals?: readonly string[];
  readonly onError?: ErrorPolicy | undefined;
  /** It has a use for records without a key: topics on their way to it let them pass. */
  readonly takesNullKeys?: boolean;
}

interface Owner {
  readonly what: string;
}

interface StoreOwner extends Owner {
  readonly spec: AnyStoreSpec;
  /** Another step that declares it. */
  other?: string;
}

/** Open while the author's function runs, closed by `freeze`. */
export class Declaration {
  readonly topology: string;
  readonly #nodes: GraphNode[] = [];
  readonly #owners = new Map<string, Owner>();
  readonly #stores = new Map<string, StoreOwner>();
  readonly #globals = new Map<string, GlobalStore>();
  readonly #sourceChangelogs: SourceChangelogTable[] = [];
  readonly #repartitions = new Map<string, RepartitionTopic & Owner>();
  readonly #takingNullKeys = new Set<string>();
  #beforeNullKeys: ReadonlySet<string> = new Set();
  #nameCount = 0;
  #isOpen = true;

  constructor(topology: string) {
    this.topology = checkName('topology', topology);
  }

  /** The author's name, or one in Kafka Streams' style. Every step counts, named or not. */
  stepName(prefix: string, name: string | undefined): string {
    const index = this.#nameCount;
    this.#nameCount += 1;
    return name ?? `${prefix}-${String(index).padStart(10, '0')}`;
  }

  /** Adds a source, or returns the one that already reads these topics in this way: a topic is read once. */
  source(node: SourceNode): string {
    const present = this.#nodes.find((other) => other.kind === 'source' && readsOneOf(other, node));
    if (present?.kind === 'source') {
      if (!readsAlike(present, node))
        throw this.#invalid(`sources ${present.name} and ${node.name} read the same topic in different ways`);
      return present.name;
    }
    this.#add(node, `a source of ${node.topics.map((topic) => topic.name).join(', ')}`);
    return node.name;
  }

  processor(step: Step): string {
    const own = (step.stores ?? []).filter((spec) => this.#globals.get(spec.name)?.spec !== spec);
    const globals = unique([
      ...(step.stores ?? []).filter((spec) => !own.includes(spec)).map(({ name }) => name),
      ...(step.globals ?? []),
    ]);
    for (const spec of own) this.#store(spec, `${step.what} ${step.name}`);
    const node: ProcessorNode = {
      kind: 'processor',
      name: step.name,
      parents: step.parents,
      stores: unique([...own.map((spec) => spec.name), ...(step.reads ?? [])]),
      create: step.create,
      ...(globals.length === 0 ? {} : { globals }),
      ...(step.onError === undefined ? {} : { onError: step.onError }),
    };
    this.#add(node, step.what);
    if (step.takesNullKeys === true) this.#takingNullKeys.add(step.name);
    return step.name;
  }

  /** Whether a later step has a use for records without a key. Known once all is declared. */
  passesNullKeys(step: string): boolean {
    return this.#beforeNullKeys.has(step);
  }

  /** Gives an earlier processor a store that a later step needs. */
  attach(step: string, spec: AnyStoreSpec): void {
    const index = this.#nodes.findIndex(({ name }) => name === step);
    const node = this.#nodes[index];
    if (node === undefined) throw this.refuse(step, 'is not there');
    this.#store(spec, `${this.#owners.get(step)?.what ?? ''} ${step}`);
    this.#nodes[index] = { ...node, stores: unique([...node.stores, spec.name]) };
  }

  /** Makes the topic of a source the changelog of the store that a table step keeps. */
  sourceChangelog(table: SourceChangelogTable): void {
    this.#sourceChangelogs.push(table);
  }

  /** Adds a global store with what fills it. */
  global(source: SourceNode, spec: AnyStoreSpec, step: Pick<Step, 'name' | 'what' | 'create' | 'onError'>): void {
    this.#store(spec, `${step.what} ${step.name}`);
    this.#stores.delete(spec.name);
    this.#own(source.name, `a source of ${source.topics.map((topic) => topic.name).join(', ')}`);
    this.#own(step.name, step.what);
    const processor: ProcessorNode = Object.freeze({
      kind: 'processor',
      name: step.name,
      parents: Object.freeze([source.name]),
      stores: Object.freeze([spec.name]),
      create: step.create,
      ...(step.onError === undefined ? {} : { onError: step.onError }),
    });
    this.#globals.set(spec.name, Object.freeze({ spec, source: Object.freeze(source), processor }));
  }

  sink(node: SinkNode): string {
    this.#add(node, 'a sink');
    return node.name;
  }

  repartition(topic: RepartitionTopic, what: string): void {
    checkName('repartition', topic.name);
    const id = `${topic.name}-${topic.kind}`;
    const present = this.#repartitions.get(id);
    if (present !== undefined)
      throw this.#invalid(`repartition name ${topic.name} is used twice: by ${present.what} and by ${what}`);
    this.#repartitions.set(id, { ...topic, what });
  }

  /** The state of a handle, if it is of this topology. */
  own<S extends { readonly declaration: Declaration }>(step: string, state: S): S {
    if (state.declaration !== this) throw this.refuse(step, 'uses a stream or table of another topology');
    return state;
  }

  /** For a step that cannot be declared; `problem` names it. */
  refuse(step: string, problem: string): StreamError {
    return new StreamError('TOPOLOGY_INVALID', `topology ${this.topology}: step ${step} ${problem}`, {
      facts: { topology: this.topology, step },
    });
  }

  freeze(settings: TopologySettings): Topology {
    this.#isOpen = false;
    if (this.#nodes.length === 0 && this.#globals.size === 0) throw this.#invalid('declares nothing');
    this.#checkPolicies(settings);
    const parked = parkedStores(this.#nodes, settings);
    for (const [source, spec] of parked) this.attach(source, spec);
    const sourceChangelogs = this.#checkedChangelogs(settings);
    const restoredFrom = new Set(sourceChangelogs.map(({ source }) => source));
    const nodes = Object.freeze(
      this.#nodes.map((node) => Object.freeze(finished(node, settings, !restoredFrom.has(node.name)))),
    );
    this.#beforeNullKeys = stepsBefore(nodes, this.#takingNullKeys);
    return Object.freeze({
      name: this.topology,
      nodes,
      stores: Object.freeze([...this.#stores.values()].map(({ spec }) => spec)),
      globals: Object.freeze([...this.#globals.values()]),
      sourceChangelogs: Object.freeze(sourceChangelogs),
      repartitions: Object.freeze(
        [...this.#repartitions.values()].map(({ what: _, ...topic }) => Object.freeze(topic)),
      ),
      // Topics of replays do not count: they take after those of their records.
      copartitions: Object.freeze(copartitions(this.#nodes)),
      settings: Object.freeze({ ...settings, retired: Object.freeze([...settings.retired]) }),
    });
  }

  #checkPolicies({ onError, deadLetterTopic }: TopologySettings): void {
    const policies = [
      ['the settings', onError] as const,
      ...this.#nodes.map((node) => [`step ${node.name}`, node.kind === 'sink' ? undefined : node.onError] as const),
    ];
    for (const [where, policy] of policies) {
      if (policy === undefined) continue;
      const problem = policyProblem(policy);
      if (problem !== undefined) throw this.#invalid(`the error policy of ${where} is none: ${problem}`);
      if (['dead-letter', 'park-key'].includes(finalPolicy(policy)) && deadLetterTopic === undefined)
        throw this.#invalid(`an error policy is ${finalPolicy(policy)}, but the settings name no deadLetterTopic`);
    }
  }

  #checkedChangelogs({ onError }: TopologySettings): readonly SourceChangelog[] {
    const tables = this.#sourceChangelogs;
    return tables.map((table) => {
      const { store, source, step } = table;
      const owner = this.#stores.get(store);
      assert(owner !== undefined, `store ${store} is declared`);
      const declared = { nodes: this.#nodes, tables, spec: owner.spec, otherOwner: owner.other, onError };
      const problem = changelogProblem(table, declared);
      if (problem !== undefined) throw this.refuse(step, `cannot be restored from its source topic: ${problem}`);
      return Object.freeze({ store, source });
    });
  }

  #store(spec: AnyStoreSpec, what: string): void {
    checkName('store', spec.name);
    if (this.#globals.has(spec.name))
      throw this.#invalid(`store name ${spec.name} is used twice: it is a global store's`);
    const present = this.#stores.get(spec.name);
    if (present === undefined) this.#stores.set(spec.name, { spec, what });
    else if (present.spec !== spec)
      throw this.#invalid(`store name ${spec.name} is used twice: by ${present.what} and by ${what}`);
    else present.other = what;
  }

  #add(node: GraphNode, what: string): void {
    this.#own(node.name, what);
    this.#nodes.push(node);
  }

  #own(step: string, what: string): void {
    if (!this.#isOpen) throw this.#invalid(`step ${step} is added after the declaration ended`);
    checkName('step', step);
    const present = this.#owners.get(step);
    if (present !== undefined)
      throw this.#invalid(`step name ${step} is used twice: by ${present.what} and by ${what}`);
    this.#owners.set(step, { what });
  }

  #invalid(problem: string): StreamError {
    return new StreamError('TOPOLOGY_INVALID', `topology ${this.topology}: ${problem}`, {
      facts: { topology: this.topology },
    });
  }
}

function unique<T>(items: readonly T[]): readonly T[] {
  return Object.freeze([...new Set(items)]);
}

/** The node as its settings make it: wrapped, and able to take dead letters back. */
function finished(
  node: GraphNode,
  { wrapProcessor, deadLetterTopic }: TopologySettings,
  takesReplays: boolean,
): GraphNode {
  if (node.kind === 'source') return deadLetterTopic === undefined || !takesReplays ? node : withReplays(node);
  if (wrapProcessor === undefined || node.kind !== 'processor') return node;
  return { ...node, create: wrapped(node.name, node.create, wrapProcessor) };
}

/** The source with, beside each topic of the user, the private one through which dead letters of it come back. */
function withReplays(node: SourceNode): SourceNode {
  const users = node.topics.filter((topic) => topic.internal === undefined);
  const replays = users.map(({ name }) => Object.freeze({ name, internal: 'replay' as const }));
  return { ...node, topics: Object.freeze([...node.topics, ...replays]) };
}

function readsOneOf(present: SourceNode, wanted: SourceNode): boolean {
  return present.topics.some((topic) => wanted.topics.some((other) => isSame(topic, other)));
}

function readsAlike(present: SourceNode, wanted: SourceNode): boolean {
  return (
    present.topics.length === wanted.topics.length &&
    present.topics.every((topic) => wanted.topics.some((other) => isSame(topic, other))) &&
    present.key === wanted.key &&
    present.value === wanted.value &&
    present.timestamp === wanted.timestamp &&
    present.offsetReset === wanted.offsetReset &&
    present.onError === wanted.onError
  );
}

function isSame(a: SourceNode['topics'][number], b: SourceNode['topics'][number]): boolean {
  return a.name === b.name && a.internal === b.internal;
}
