/** For tests of topologies: a driver that runs one in this thread under virtual time, and a log in memory. Needs no particular test runner. */
export { TestDriver } from './topology/runtime/driver.ts';
export type { DriverOptions, DriverOutput, DriverRecord, DriverRow, InputOptions } from './topology/runtime/driver.ts';
export { memoryLog } from './connectors/embedded/embedded-log.ts';
export type { EmbeddedLog, EmbeddedLogOptions, MemoryLogOptions } from './connectors/embedded/embedded-log.ts';
