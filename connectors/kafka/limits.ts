/** Every bound of waiting, repeating and buffering in this folder, with its reason. */

/** A broker that does not answer in this time is taken for dead: longer than its worst garbage collection. */
export const requestTimeoutMsDefault = 30_000;
/** TCP, TLS and SASL together. */
export const connectTimeoutMsDefault = 10_000;
/** How long one call keeps trying before it reports `LOG_UNAVAILABLE`; beyond a leader election, below a transaction timeout. */
export const operationTimeoutMsDefault = 30_000;

/** A topic created a moment ago may be unknown to a broker for so long. */
export const unknownTopicMsMax = 3_000;

/** Waits between attempts grow by half from the first to the second. */
export const backoffMs = { min: 20, max: 1_000 } as const;
/** The transaction before is being completed: a matter of milliseconds. */
export const concurrentTransactionsMs = { min: 2, max: 50 } as const;

/** How long a broker may hold back an empty fetch. A partition that is added meanwhile waits for at most this. */
export const fetchWaitMs = 250;
/** Fetches under way to one leader: one that waits must not keep back partitions that were resumed since. */
export const fetchesPerLeader = 2;
export const pollBytesMaxDefault = 16 * 1024 * 1024;
export const partitionBytesMaxDefault = 1024 * 1024;
/** Below this a fetch makes no sense. */
export const fetchBytesMin = 64 * 1024;
/** Between attempts on a partition that fails. */
export const partitionBackoffMs = { min: 100, max: 2_000 } as const;
/** A partition without a leader is reported as unavailable after this; elections are usually shorter. */
export const unavailableSilenceMs = 3_000;

/** One produce request: far below the broker's 100 MiB for a request. */
export const produceRequestBytesMax = 8 * 1024 * 1024;
/** The broker itself gives up waiting for replicas after this. */
export const produceAckTimeoutMs = 15_000;

export const transactionTimeoutMsDefault = 60_000;

/** A group member tries again after a failure; doubled up to the second. */
export const rejoinBackoffMs = { min: 100, max: 5_000 } as const;
/** Saying goodbye is a courtesy: the session times out otherwise. */
export const leaveTimeoutMs = 3_000;

/** Until all brokers' answers know the leaders of a new topic. */
export const topicReadyMsMax = 30_000;
