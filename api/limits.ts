/** Every bound of the API, in one place. */
export const limits = {
  /** Requests carry names and small commands, never data. */
  bodyBytes: 64 * 1024,
  /** Request line and headers together; also bounds a key in a path. */
  headerBytes: 32 * 1024,
  /** A key in a path or a query; instances pass it on in hexadecimal, two of them and a cursor fit into the headers. */
  keyBytes: 4_096,
  /** The last key of a page travels in the cursor, and the cursor in a URL. */
  cursorKeyBytes: 4_096,
  /** For a client to send its whole request. */
  requestTimeoutMs: 15_000,
  headersTimeoutMs: 10_000,
  /** Idle connections. */
  keepAliveTimeoutMs: 10_000,
  /** For the whole answer; above the longest wait, retry and hop together. */
  handlerTimeoutMs: 20_000,
  /** A socket on which nothing moves, e.g. of a client that does not read; above `handlerTimeoutMs`. */
  idleSocketMs: 30_000,
  connections: 1_024,
  requestsPerSocket: 10_000,

  /** How long a query waits by itself for a store that is restoring or moving, before it answers 503. */
  notReadyWaitMs: 1_000,
  notReadyStepMs: 25,
  /** What a 503 asks the client to wait. */
  retryAfterSeconds: 1,
  /** `?wait=`: for a position to be reached. */
  positionWaitMs: 10_000,
  positionWaitDefaultMs: 1_000,
  positionStepMs: 10,
  /** An offset vector as text, in both directions. */
  positionChars: 8_192,

  pageRows: 1_000,
  pageRowsDefault: 100,
  /** A page ends early once its keys and values exceed this. */
  pageBytes: 2 * 1024 * 1024,
  /** Range queries at one time; each may hold a page per peer. */
  scans: 16,

  /** One hop to another instance. */
  peerDeadlineMs: 2_000,
  /** A request that another process answers from its topologies: above the longest wait that it may ask for, below `handlerTimeoutMs`. */
  passedDeadlineMs: 15_000,
  /** Above a page in base64 with its keys. */
  peerResponseBytes: 8 * 1024 * 1024,
  peerSockets: 32,
  /** How far clocks of instances may differ for a signed request between them. */
  peerClockSkewMs: 60_000,

  /** Clients that the rate limiter remembers. */
  rateClients: 10_000,
} as const;
