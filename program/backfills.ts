/** Backfills of the systems that customers come from. */
import { listedBackfill, type CustomerListing } from '../connectors/app/polled-customers.ts';
import { createBackfills, type Backfills } from '../connectors/backfill.ts';
import type { BackfillSource } from '../connectors/backfill-source.ts';
import { captureBackfill } from '../connectors/change-capture/capture-backfill.ts';
import type { PostgresCaptureOptions } from '../connectors/change-capture/postgres-capture.ts';
import { scanPartition } from '../connectors/partition-scan.ts';
import { connectorTopics } from '../schemas/app/connector-topics.ts';
import { sourceRef } from '../schemas/app/customer/fields.ts';
import type { SourceRecord } from '../schemas/app/customer/source-record.ts';
import { customerTopics } from '../schemas/app/customer/topics.ts';
import { customerMergeName } from '../topology/app/customer-merge.ts';
import type { ConnectorPorts } from './connector-ports.ts';

export interface BackfilledSystems {
  readonly captured: PostgresCaptureOptions | undefined;
  readonly listed: readonly CustomerListing[];
}

export function customerBackfills({ captured, listed }: BackfilledSystems, ports: ConnectorPorts): Backfills {
  const { settings, log } = ports;
  const { topicPrefix: prefix, sessionTimeoutMs } = settings;
  const sources: BackfillSource[] = listed.map(listedBackfill);
  if (captured !== undefined)
    sources.push(captureBackfill({ ...captured, refOf: ([id = '']) => sourceRef('system_a', id) }));
  const applicationId = ports.applicationIdOf(customerMergeName);
  const { changesA, changesB } = customerTopics(prefix);
  const internal = ['by-source', 'by-email'].map((step) => `${applicationId}-${step}-repartition`);
  return createBackfills({
    ...ports,
    applicationId,
    sources,
    topic: connectorTopics(prefix).backfills.name,
    reading: { groupId: applicationId, topics: [changesA.name, changesB.name, ...internal] },
    unmerged: (refs) => unmergedOf(refs, { log, prefix, format: ports.format }),
    sessionTimeoutMs,
  });
}

/** Known under an e-mail; or deleted since. */
const isMerged = (record: SourceRecord | undefined): boolean =>
  record === undefined || record.deleted || record.email !== undefined;

/** The latest that is known of each record decides. */
async function unmergedOf(
  refs: ReadonlySet<string>,
  { log, prefix, format }: Pick<ConnectorPorts, 'log' | 'format'> & { readonly prefix: string },
): Promise<readonly string[]> {
  const { sources } = customerTopics(prefix, format);
  const left = new Set(refs);
  const description = (await log.admin.describeTopics([sources.name])).get(sources.name);
  for (let partition = 0; partition < (description?.partitions ?? 0); partition += 1) {
    const at = { topic: sources.name, partition };
    const [{ start, end } = { start: 0, end: 0 }] = await log.admin.offsets([at]);
    await scanPartition(log, at, {
      from: start,
      to: end,
      onBatch: async (batch) => {
        const found: (readonly [ref: string, value: Uint8Array | undefined])[] = [];
        const cursor = batch.cursor();
        while (cursor.next()) {
          const key = cursor.key();
          const ref = key === undefined ? '' : sources.key.deserialize(key);
          if (refs.has(ref)) found.push([ref, cursor.value()]);
        }
        await sources.value.prepare?.(found.flatMap(([, value]) => value ?? []));
        for (const [ref, value] of found)
          if (isMerged(value === undefined ? undefined : sources.value.deserialize(value))) left.delete(ref);
          else left.add(ref);
      },
    });
  }
  return [...left].sort();
}
