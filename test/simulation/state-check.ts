/** Whether every store, and every answer that was given, is the fold of its changelog. */
import type { Log } from '../../connectors/log.ts';
import { bytesSerde } from '../../schemas/serde.ts';
import { fromBinaryKey, toBinaryKey } from '../../state-stores/binary-key.ts';
import { readAll } from '../support/cluster.ts';
import type { Directory } from './disk.ts';
import type { Machine } from './machine.ts';
import type { Answer } from './queries.ts';
import type { Scenario } from './scenario.ts';

/** A stored value as it came to be, `undefined`: deleted. */
interface Change {
  readonly offset: number;
  readonly key: string;
  readonly value: string | undefined;
}

type Histories = ReadonlyMap<string, readonly (readonly Change[])[]>;

/** By store: the committed changes of each partition, in order, as rows of the store. */
export async function readHistories(log: Log, scenario: Scenario): Promise<Histories> {
  const histories = new Map<string, Change[][]>();
  const stores = scenario.topologies.flatMap((topology) =>
    topology.stores.map((store) => ({ ...store, applicationId: topology.name })),
  );
  for (const { applicationId, name, format, changelog } of stores) {
    if (changelog === undefined) continue;
    const partitions: Change[][] = [];
    const topic = { name: `${applicationId}-${name}-changelog`, key: bytesSerde, value: bytesSerde };
    for (const { partition, offset, key, value, timestampMs } of await readAll(log, topic)) {
      const row = value === null ? undefined : toBinaryKey(format.fromChangelog(value, timestampMs));
      (partitions[partition] ??= []).push({ offset, key: toBinaryKey(key ?? new Uint8Array()), value: row });
    }
    histories.set(name, partitions);
  }
  return histories;
}

/** What lies on the machines' disks. */
export function checkDisks(machines: readonly Machine[], histories: Histories): string[] {
  return machines.flatMap(({ name, disk }) =>
    [...disk.directories.values()].flatMap((directory) => checkDirectory(name, directory, histories)),
  );
}

function checkDirectory(machine: string, directory: Directory, histories: Histories): string[] {
  const { path, position, rows, isDamaged } = directory;
  const [, task = '', store = ''] = path;
  if (isDamaged || position === undefined) return [];
  const expected = foldBelow(position, histories.get(store)?.[partitionOf(task)] ?? []);
  for (const key of new Set([...rows.keys(), ...expected.keys()])) {
    const row = rows.get(key);
    const found = row === undefined ? undefined : toBinaryKey(row);
    if (found === expected.get(key)) continue;
    const where = `store ${store} of task ${task} on ${machine}, at ${position}`;
    return [`${where}: ${text(key)} is ${text(found)}, its changelog says ${text(expected.get(key))}`];
  }
  return [];
}

function foldBelow(position: number, changes: readonly Change[]): ReadonlyMap<string, string> {
  const rows = new Map<string, string>();
  for (const { offset, key, value } of changes) {
    if (offset >= position) break;
    if (value === undefined) rows.delete(key);
    else rows.set(key, value);
  }
  return rows;
}

/** Each answer is a value that was committed when it was given, and none goes back behind an earlier one of the same process. */
export function checkAnswers(answers: readonly Answer[], histories: Histories): string[] {
  const reached = new Map<string, number>();
  for (const { store, partition, key, value, below, asked } of answers) {
    const changes = histories.get(store)?.[partition] ?? [];
    const id = `${asked} ${store} ${partition} ${key}`;
    const from = reached.get(id) ?? -1;
    const found = changes.find(
      (change) => change.key === key && change.value === value && change.offset >= from && change.offset < below,
    );
    if (found === undefined)
      return [`${asked} answered ${text(value)} for ${text(key)} of ${store}/${partition}: not committed by then`];
    reached.set(id, found.offset);
  }
  return [];
}

function partitionOf(taskId: string): number {
  return Number(taskId.slice(taskId.indexOf('_') + 1));
}

function text(binary: string | undefined): string {
  return binary === undefined ? 'absent' : JSON.stringify(Buffer.from(fromBinaryKey(binary)).toString());
}
