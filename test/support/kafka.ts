import { describe, test } from '@jest/globals';

/**
 * Declares a suite that needs a real Kafka broker; only in files named `*.broker.test.ts`.
 *
 * One broker serves all suites of a run, so topics, groups and transactional ids must be unique to the test.
 * Without a broker the suite is skipped, or fails if `RIVULET_REQUIRE_KAFKA=1`.
 */
export function describeKafka(name: string, define: (brokers: readonly string[]) => void): void {
  const brokers = process.env['KAFKA_BROKERS'];
  if (brokers !== undefined && brokers !== '') {
    describe(name, () => {
      define(brokers.split(','));
    });
    return;
  }

  const reason = process.env['RIVULET_KAFKA_SKIPPED'] ?? 'no broker was started: is the file named *.broker.test.ts?';
  if (process.env['RIVULET_REQUIRE_KAFKA'] === '1') {
    test(`${name}: a Kafka broker is available`, () => {
      throw new Error(reason);
    });
    return;
  }
  describe.skip(name, () => {
    define([]);
  });
}
