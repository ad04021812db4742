/** The engine's public surface. Applications, its own included, see nothing else of it. */
export { StreamError, errorTable, hasCode } from './errors.ts';
export type { ErrorCode, Facts, Retry } from './errors.ts';
export { consoleLogger, silentLogger, systemClock, systemRandom } from './clock.ts';
export type { Clock, LogFacts, LogLevel, Logger, Random, Timer } from './clock.ts';

export { noHeaders } from './schemas/record.ts';
export type { Change, Header, RecordMetadata, StreamRecord, TopicPartition } from './schemas/record.ts';
export {
  bigint64Serde,
  booleanSerde,
  bytesSerde,
  canonicalJson,
  canonicalJsonSerde,
  float32Serde,
  float64Serde,
  int16Serde,
  int32Serde,
  int64Serde,
  jsonSerde,
  stringSerde,
  validatedSerde,
} from './schemas/serde.ts';
export type { StandardIssue, StandardResult, StandardSchema } from './schemas/standard-schema.ts';
export type { Parse, Serde, SerdeType } from './schemas/serde.ts';
export { sessionWindowedSerde, timeWindowedSerde } from './schemas/windowed.ts';
export type { Window, Windowed } from './schemas/windowed.ts';
export { createAvroSerdes } from './schemas/avro/avro-serde.ts';
export type { AvroSerdes, AvroValue, ForeignRecord, Upcast } from './schemas/avro/avro-serde.ts';
export type { AvroSchema } from './schemas/avro/avro-type.ts';
export { compatibilityLevels } from './schemas/schema-registry.ts';
export type { CompatibilityLevel, SchemaRegistry } from './schemas/schema-registry.ts';
export { confluentRegistry } from './connectors/registry/confluent-registry.ts';
export type { ConfluentRegistryOptions } from './connectors/registry/confluent-registry.ts';
export { defineTopic } from './schemas/topic.ts';
export type { Topic, TopicSettings } from './schemas/topic.ts';
export {
  partitionTimestamp,
  recordTimestamp,
  recordTimestampOrDrop,
  timestampUpTo,
  wallClockTimestamp,
} from './schemas/timestamp.ts';
export type { FetchedRecordView, TimestampExtractor } from './schemas/timestamp.ts';
export { BatchBuilder } from './schemas/record-batch.ts';
export type { RecordCursor } from './schemas/record-batch.ts';
export { partitionForKey } from './schemas/murmur2.ts';

export { defineStore, defineTimestampedStore } from './state-stores/spec.ts';
export { defineVersionedStore } from './state-stores/versioned-spec.ts';
export type { VersionedState, VersionedStoreOptions, VersionedStoreSpec } from './state-stores/versioned-spec.ts';
export type { PutOutcome } from './state-stores/versioned-store.ts';
export type {
  AnyStoreSpec,
  CacheOptions,
  OrderedStoreOptions,
  StateOf,
  StoreKey,
  StoreOptions,
  StoreSpec,
  StoreValue,
} from './state-stores/spec.ts';
export type { KeyValueState, OrderedState, Timestamped, TimestampedState } from './state-stores/typed-store.ts';
export { defineSessionStore, defineWindowStore } from './state-stores/window-spec.ts';
export type {
  GroupedStoreSettings,
  SessionStoreSpec,
  WindowStoreOptions,
  WindowStoreSpec,
} from './state-stores/window-spec.ts';
export type {
  SessionEntry,
  SessionRow,
  SessionState,
  WindowEntry,
  WindowRow,
  WindowState,
} from './state-stores/window-state.ts';
export type { Entry, KeyValueStore, Range, Stores } from './state-stores/store.ts';
export { memoryStores } from './state-stores/memory.ts';
export { levelStores } from './state-stores/level.ts';
export type { LevelStoresOptions } from './state-stores/level.ts';

export type { Log, NewTopic } from './connectors/log.ts';
export type { OutgoingRecord, WrittenRecord } from './connectors/outgoing-record.ts';
export type { BackfillProgress, BackfillState } from './connectors/backfill.ts';
export type { BackfillItem, BackfillPage, BackfillSource } from './connectors/backfill-source.ts';
export type { PollContext, PollPage, PollSource, PollState } from './connectors/poll-source.ts';
export { outboxSource, type OutboxOptions, type OutboxRow } from './connectors/outbox-source.ts';
export { createPoller } from './connectors/poller.ts';
export type { Poller, PollerCounts, PollerOptions } from './connectors/poller.ts';
export type { SourceHealth, SourceStatus } from './connectors/source-status.ts';
export { createHttpSource } from './connectors/http-source.ts';
export type { Fetch, FetchedResponse, HttpSource, HttpSourceOptions, JsonAnswer } from './connectors/http-source.ts';
export { sinkTable } from './connectors/sink-table.ts';
export type { SinkRecord, SinkTable } from './connectors/sink-table.ts';
export { createTableSink } from './connectors/table-sink.ts';
export type { SinkLag, TableSink, TableSinkOptions } from './connectors/table-sink.ts';
export type { SinkCounts } from './connectors/sink-turn.ts';
export type { Migration } from './connectors/migrations.ts';
export { refusesValues } from './connectors/database.ts';
export type { Database, Rows, Sql, Statement } from './connectors/database.ts';
export { postgresDatabase } from './connectors/postgres/postgres-database.ts';
export type { PostgresOptions } from './connectors/postgres/postgres-database.ts';
export { createCircuitBreaker } from './connectors/circuit-breaker.ts';
export type { BreakerState, CircuitBreaker, CircuitBreakerOptions } from './connectors/circuit-breaker.ts';
export { embeddedLog } from './connectors/embedded/file-log.ts';
export type { FileLogOptions } from './connectors/embedded/file-log.ts';
export { kafkaLog } from './connectors/kafka/kafka-log.ts';
export type { KafkaDeps, KafkaOptions } from './connectors/kafka/kafka-log.ts';
export { createJsonLogger } from './json-logger.ts';
export type { JsonLoggerOptions } from './json-logger.ts';

export { defineFixedKeyProcessor } from './processors/fixed-key-processor.ts';
export type { FixedKeyContext, FixedKeyDefinition, FixedKeyOutput } from './processors/fixed-key-processor.ts';
export type { AsyncCall, AsyncFailure } from './processors/map-async.ts';
export { defineProcessor } from './processors/processor.ts';
export type {
  NoStores,
  OutputRecord,
  ProcessorContext,
  ProcessorDefinition,
  StoreSpecs,
  StoreStates,
} from './processors/processor.ts';
export type { Cancellable, DropReason, Schedule } from './processors/node.ts';
export type { ProcessorWrapper } from './processors/wrapped.ts';

export { untilTimeLimit, untilWindowCloses } from './processors/suppress.ts';
export type { BufferBounds, TimeLimit, WhenFull, WindowClose } from './processors/suppress.ts';
export { hoppingWindows, sessionWindows, slidingWindows, tumblingWindows } from './processors/windows.ts';
export type { EmitOptions, EmitStrategy, SessionWindows, SlidingWindows, TimeWindows } from './processors/windows.ts';
export { defineTopology, TopologyBuilder } from './topology/builder.ts';
export type {
  ChangesOptions,
  GlobalOptions,
  GlobalTableOptions,
  SourceOptions,
  TableOptions,
} from './topology/builder.ts';
export type {
  CogroupedKStream,
  GlobalTable,
  KGroupedStream,
  KGroupedTable,
  KStream,
  KTable,
  SessionWindowedCogroupedKStream,
  SessionWindowedKStream,
  TimeWindowedCogroupedKStream,
  TimeWindowedKStream,
} from './topology/handles.ts';
export type { AsyncOptions, ForeignKeyJoin, StreamJoin, TableJoinOptions } from './topology/operands.ts';
export type { JoinWindows } from './processors/stream-join.ts';
export type { WindowedStoreOptions } from './topology/window-store.ts';
export type { ErrorPolicy, FinalPolicy, RetryPolicy, RetrySchedule } from './topology/error-policy.ts';
export type { OffsetReset, Topology, TopologySettings } from './topology/graph.ts';
export type { Plan, SubTopology } from './topology/plan.ts';

export { createInstance } from './topology/runtime/stream-instance.ts';
export type { StreamInstance } from './topology/runtime/stream-instance.ts';
export type { Host } from './topology/runtime/host.ts';
export type { InstanceOptions, ProcessingGuarantee } from './topology/runtime/options.ts';
export type {
  InstanceState,
  InstanceView,
  MetricSample,
  Peer,
  StoreLocation,
  StoreView,
  TaskStatus,
} from './topology/runtime/view.ts';
