/** Watches the log for what no commit may do, at the moment it is decided. */
import type { OffsetToCommit } from '../../connectors/log.ts';
import { partitionId } from '../../schemas/record.ts';

/** One transaction of an instance, as it was sent. */
export interface ObservedTransaction {
  readonly applicationId: string;
  readonly instanceId: string;
  generation: number;
  readonly offsets: OffsetToCommit[];
  /** By `partitionId`: the offset after the last record. */
  readonly ends: Map<string, number>;
  records: number;
}

interface LastCommit {
  readonly offset: number;
  readonly generation: number;
  readonly instanceId: string;
}

export class Ledger {
  readonly violations: string[] = [];
  /** By application and `partitionId` of its inputs, see `inputOf`. */
  readonly inputs = new Map<string, LastCommit>();
  /** By `partitionId`: everything below was decided when it was written. */
  readonly ends = new Map<string, number>();
  transactions = 0;
  records = 0;

  /** Committed offsets only grow; a task is in one pair of hands per generation, and never in those of an earlier one. */
  committed({ applicationId, instanceId, generation, offsets, ends, records }: ObservedTransaction): void {
    this.transactions += 1;
    this.records += records;
    for (const [id, end] of ends) this.ends.set(id, Math.max(end, this.ends.get(id) ?? 0));
    for (const { topic, partition, offset } of offsets) {
      const id = inputOf(applicationId, partitionId(topic, partition));
      const last = this.inputs.get(id);
      this.inputs.set(id, { offset, generation, instanceId });
      if (last === undefined) continue;
      const by = `by ${instanceId} in generation ${generation}, after ${last.instanceId} in generation ${last.generation}`;
      if (offset < last.offset)
        this.violations.push(`committed offset of ${id} went back from ${last.offset} to ${offset}, ${by}`);
      if (generation < last.generation) this.violations.push(`${id} was committed by an owner of before, ${by}`);
      if (generation === last.generation && instanceId !== last.instanceId)
        this.violations.push(`${id} was committed by two owners, ${by}`);
    }
  }
}

export function inputOf(applicationId: string, partition: string): string {
  return `${applicationId} ${partition}`;
}
