/** A topology for readers: Kafka Streams' text, Mermaid, JSON. */
import type { GraphNode, TopicReference, Topology } from './graph.ts';
import { subTopologies } from './sub-topologies.ts';

/** Topics as the topology names them; internal ones without the application id, as Kafka Streams prints them. */
function topicName(topic: TopicReference): string {
  return topic.internal === undefined ? topic.name : `${topic.name}-${topic.internal}`;
}

/** In the text layout of Kafka Streams' `Topology.describe()`, which viewers and diff tools read. */
export function describe(topology: Topology): string {
  const parts = subTopologies(topology.nodes).map((nodes, id) => {
    const ordered = bySize(nodes);
    const lines = ordered.map((node) => `    ${describeNode(node, childrenOf(ordered, node))}\n`);
    return `  Sub-topology: ${String(id)}\n${lines.join('')}\n`;
  });
  const globals = topology.globals.map(({ source, processor }, index) => {
    const lines = [source, processor].map((node) => `    ${describeNode(node, childrenOf([processor], node))}\n`);
    const id = String(parts.length + index);
    return `  Sub-topology: ${id} for global store (will not generate tasks)\n${lines.join('')}\n`;
  });
  return `Topologies:\n ${[...parts, ...globals].join('')}`;
}

function describeNode(node: GraphNode, children: readonly string[]): string {
  const parents = `\n      <-- ${listed(node.parents)}`;
  const next = `\n      --> ${listed(children)}`;
  switch (node.kind) {
    case 'source':
      return `Source: ${node.name} (topics: [${node.topics.map(topicName).sort().join(', ')}])${next}`;
    case 'processor':
      return `Processor: ${node.name} (stores: [${[...node.stores].sort().join(', ')}])${next}${parents}`;
    case 'sink':
      return typeof node.topic === 'function'
        ? `Sink: ${node.name} (extractor class: ${node.topic.name === '' ? 'anonymous' : node.topic.name})${parents}`
        : `Sink: ${node.name} (topic: ${topicName(node.topic)})${parents}`;
  }
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.join(', ');
}

/** In the order of `nodes`. */
function childrenOf(nodes: readonly GraphNode[], { name }: GraphNode): readonly string[] {
  return nodes.filter((node) => node.parents.includes(name)).map((node) => node.name);
}

/** Larger sub-trees first, then by name; a node counts once for each path that leads to it. */
function bySize(nodes: readonly GraphNode[]): readonly GraphNode[] {
  const sizes = new Map<string, number>();
  for (const node of nodes.toReversed()) {
    const size = 1 + childrenOf(nodes, node).reduce((sum, child) => sum + (sizes.get(child) ?? 0), 0);
    sizes.set(node.name, size);
  }
  const sizeOf = (node: GraphNode): number => sizes.get(node.name) ?? 0;
  return nodes.toSorted((a, b) => sizeOf(b) - sizeOf(a) || (a.name < b.name ? -1 : 1));
}

/** What a step is made of, without its functions. */
export interface StepDescription {
  readonly name: string;
  readonly kind: GraphNode['kind'];
  readonly parents: readonly string[];
  readonly stores: readonly string[];
  /** Global stores it reads. */
  readonly globals?: readonly string[];
  /** Topics it reads or writes; of a sink that chooses by record: none. */
  readonly topics: readonly string[];
}

export interface StoreDescription {
  readonly name: string;
  readonly kind: string;
  readonly isLogged: boolean;
}

export interface TopologyDescription {
  readonly name: string;
  readonly subTopologies: readonly { readonly id: number; readonly steps: readonly StepDescription[] }[];
  readonly stores: readonly StoreDescription[];
  /** Stores that every instance holds whole, and the topics that fill them. */
  readonly globals: readonly { readonly store: string; readonly topics: readonly string[] }[];
  readonly repartitionTopics: readonly { readonly name: string; readonly partitions?: number }[];
  /** Topics that must have equal numbers of partitions, and the step that needs it. */
  readonly copartitions: readonly { readonly step: string; readonly topics: readonly string[] }[];
}

/** As plain data, in the order of declaration. */
export function describeJson(topology: Topology): TopologyDescription {
  return {
    name: topology.name,
    subTopologies: subTopologies(topology.nodes).map((nodes, id) => ({ id, steps: nodes.map(describeStep) })),
    stores: topology.stores.map(({ name, kind, changelog }) => ({ name, kind, isLogged: changelog !== undefined })),
    globals: topology.globals.map(({ spec, source }) => ({ store: spec.name, topics: source.topics.map(topicName) })),
    repartitionTopics: topology.repartitions.map(({ name, kind, ...topic }) => ({
      name: topicName({ name, internal: kind }),
      ...topic,
    })),
    copartitions: topology.copartitions.map(({ step, topics }) => ({ step, topics: topics.map(topicName) })),
  };
}

function describeStep(node: GraphNode): StepDescription {
  const { name, kind, parents, stores } = node;
  const globals = node.kind === 'processor' && node.globals !== undefined ? { globals: node.globals } : {};
  return { name, kind, parents, stores, ...globals, topics: topicsOf(node) };
}

function topicsOf(node: GraphNode): readonly string[] {
  if (node.kind === 'source') return node.topics.map(topicName);
  return node.kind === 'sink' && typeof node.topic !== 'function' ? [topicName(node.topic)] : [];
}

/** As a Mermaid flow chart: topics rounded, stores as cylinders, a box for each sub-topology. */
export function describeMermaid(topology: Topology): string {
  const ids = new Ids();
  const boxes = subTopologies(topology.nodes).flatMap((nodes, id) => [
    `  subgraph sub${String(id)}["Sub-topology ${String(id)}"]`,
    ...nodes.map((node) => `    ${ids.of('step', node.name)}["${node.name}"]`),
    ...[...new Set(nodes.flatMap((node) => node.stores))].map((store) => `    ${ids.of('store', store)}[("${store}")]`),
    '  end',
  ]);
  const globals = topology.globals.flatMap(({ spec, source }) => [
    `  ${ids.of('store', spec.name)}[("${spec.name}")]`,
    ...source.topics.map(
      (topic) => `  ${ids.of('topic', topicName(topic))}(["${topicName(topic)}"]) --> ${ids.of('store', spec.name)}`,
    ),
  ]);
  const topics = [...new Set(topology.nodes.flatMap(topicsOf))].map(
    (topic) => `  ${ids.of('topic', topic)}(["${topic}"])`,
  );
  const edges = topology.nodes.flatMap((node) => {
    const step = ids.of('step', node.name);
    const ofTopics = topicsOf(node).map((topic) => ids.of('topic', topic));
    return [
      ...node.parents.map((parent) => `  ${ids.of('step', parent)} --> ${step}`),
      ...[...node.stores, ...((node.kind === 'processor' ? node.globals : undefined) ?? [])].map(
        (store) => `  ${step} -.- ${ids.of('store', store)}`,
      ),
      ...ofTopics.map((topic) => (node.kind === 'source' ? `  ${topic} --> ${step}` : `  ${step} --> ${topic}`)),
    ];
  });
  return ['flowchart TD', ...topics, ...boxes, ...globals, ...edges, ''].join('\n');
}

/** Short identifiers, as Mermaid reads some words in names as its own. */
class Ids {
  readonly #ids = new Map<string, string>();

  of(kind: string, name: string): string {
    const key = `${kind}/${name}`;
    const id = this.#ids.get(key) ?? `${kind}${String(this.#ids.size)}`;
    this.#ids.set(key, id);
    return id;
  }
}
