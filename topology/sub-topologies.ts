/** The connected parts of a topology. */
import type { GraphNode } from './graph.ts';

/**
 * Nodes that must run in one task: connected through parents or shared stores; topics cut. Parts in the order of their first node, nodes in
 * the order of declaration.
 */
export function subTopologies(nodes: readonly GraphNode[]): readonly (readonly GraphNode[])[] {
  const sets = new DisjointSets();
  for (const node of nodes) {
    const id = `node/${node.name}`;
    for (const parent of node.parents) sets.join(id, `node/${parent}`);
    for (const store of node.stores) sets.join(id, `store/${store}`);
  }
  const parts = new Map<string, GraphNode[]>();
  for (const node of nodes) {
    const root = sets.find(`node/${node.name}`);
    const part = parts.get(root);
    if (part === undefined) parts.set(root, [node]);
    else part.push(node);
  }
  return [...parts.values()];
}

/** Which of some named things belong together. */
export class DisjointSets {
  readonly #parents = new Map<string, string>();

  /** The representative of the set of `item`. */
  find(item: string): string {
    let root = item;
    for (let parent = this.#parents.get(root); parent !== undefined; parent = this.#parents.get(root)) root = parent;
    if (root !== item) this.#parents.set(item, root);
    return root;
  }

  join(a: string, b: string): void {
    const rootA = this.find(a);
    const rootB = this.find(b);
    if (rootA !== rootB) this.#parents.set(rootB, rootA);
  }
}
