/** The requests that are sent, by the versions this folder can write and read. The newest that the broker knows is taken. */

export interface Api {
  readonly name: string;
  readonly key: number;
  readonly min: number;
  readonly max: number;
  /** The first version with compact lengths and tagged fields. */
  readonly flexibleFrom: number;
}

const never = Infinity;

function api(name: string, key: number, versions: readonly [min: number, max: number], flexibleFrom = never): Api {
  return { name, key, min: versions[0], max: versions[1], flexibleFrom };
}

export const apis = {
  produce: api('Produce', 0, [7, 8], 9),
  fetch: api('Fetch', 1, [11, 11], 12),
  listOffsets: api('ListOffsets', 2, [5, 5], 6),
  metadata: api('Metadata', 3, [9, 10], 9),
  offsetCommit: api('OffsetCommit', 8, [7, 7], 8),
  offsetFetch: api('OffsetFetch', 9, [7, 7], 6),
  findCoordinator: api('FindCoordinator', 10, [2, 2], 3),
  joinGroup: api('JoinGroup', 11, [5, 9], 6),
  heartbeat: api('Heartbeat', 12, [3, 3], 4),
  leaveGroup: api('LeaveGroup', 13, [3, 3], 4),
  syncGroup: api('SyncGroup', 14, [3, 3], 4),
  apiVersions: api('ApiVersions', 18, [2, 2], 3),
  createTopics: api('CreateTopics', 19, [4, 4], 5),
  deleteTopics: api('DeleteTopics', 20, [3, 3], 4),
  deleteRecords: api('DeleteRecords', 21, [1, 1], 2),
  initProducerId: api('InitProducerId', 22, [1, 1], 2),
  addPartitionsToTxn: api('AddPartitionsToTxn', 24, [1, 1], 3),
  addOffsetsToTxn: api('AddOffsetsToTxn', 25, [1, 1], 3),
  endTxn: api('EndTxn', 26, [1, 1], 3),
  txnOffsetCommit: api('TxnOffsetCommit', 28, [3, 3], 3),
  describeConfigs: api('DescribeConfigs', 32, [2, 2], 4),
  incrementalAlterConfigs: api('IncrementalAlterConfigs', 44, [0, 0], 1),
  createPartitions: api('CreatePartitions', 37, [1, 1], 2),
} as const satisfies Record<string, Api>;
