/** Tables whose source topic is the changelog of their store: what must hold, so that what is restored is what was stored. */
import { partitionTimestamp, wallClockTimestamp } from '../schemas/timestamp.ts';
import type { AnyStoreSpec } from '../state-stores/spec.ts';
import { finalPolicy, type ErrorPolicy } from './error-policy.ts';
import type { GraphNode, SourceChangelog, SourceNode, TopologySettings } from './graph.ts';

/** A table that asks for it. */
export interface SourceChangelogTable extends SourceChangelog {
  /** The step that writes the store. */
  readonly step: string;
}

/** What is known of it once all is declared. */
interface Declared {
  readonly nodes: readonly GraphNode[];
  /** All that want to have it as the changelog of their store. */
  readonly tables: readonly SourceChangelogTable[];
  readonly spec: AnyStoreSpec;
  /** Another step that declares the store. */
  readonly otherOwner: string | undefined;
  readonly onError: TopologySettings['onError'];
}

/** Why the topic of a table cannot be its changelog; `undefined` if it can. */
export function changelogProblem(table: SourceChangelogTable, declared: Declared): string | undefined {
  return storeProblem(declared) ?? sourceProblem(table, declared) ?? policyProblem(table, declared);
}

function storeProblem({ spec, otherOwner }: Declared): string | undefined {
  if (spec.kind !== 'timestamped-key-value')
    return 'its store must be a name or made by defineTimestampedStore: a compacted topic has no history';
  return otherOwner === undefined
    ? undefined
    : `${otherOwner} declares its store too: what it writes is not in the topic`;
}

function sourceProblem({ source }: SourceChangelogTable, { nodes, tables, onError }: Declared): string | undefined {
  if (tables.filter((other) => other.source === source).length > 1) return 'the topic has another table that wants it';
  const node = nodes.find((each): each is SourceNode => each.kind === 'source' && each.name === source);
  return node === undefined ? undefined : (readingProblem(node) ?? replayProblem(node.onError ?? onError));
}

function readingProblem({ offsetReset, timestamp }: SourceNode): string | undefined {
  if (offsetReset !== 'earliest') return 'the topic must be read from its beginning';
  const isOfRecord = timestamp !== wallClockTimestamp && timestamp !== partitionTimestamp;
  return isOfRecord ? undefined : 'the time of a record must follow from the record alone';
}

function replayProblem(onError: ErrorPolicy): string | undefined {
  const policy = finalPolicy(onError);
  const isReplayed = policy === 'dead-letter' || policy === 'park-key';
  return isReplayed ? `what is put aside (${policy}) comes back through another topic` : undefined;
}

/** A record that a step passes over leaves no row behind, but the topic still has it. */
function policyProblem({ source, step }: SourceChangelogTable, { nodes, onError }: Declared): string | undefined {
  const after = new Set([source]);
  for (const node of nodes) {
    if (!node.parents.some((parent) => after.has(parent))) continue;
    after.add(node.name);
    const policy: ErrorPolicy = (node.kind === 'processor' ? node.onError : undefined) ?? onError;
    if (node.name !== step && !['fail', 'stop'].includes(finalPolicy(policy)))
      return `step ${node.name} may pass over a record (${finalPolicy(policy)}) whose row would come back with a restore`;
  }
  return undefined;
}
