import './typescript-loader.js';

/** Starts one broker for all broker suites of a run and tells them where it is, or why there is none. */
export default async function setup() {
  const { startKafka } = await import('./kafka-broker.ts');
  const kafka = await startKafka();
  if ('skipped' in kafka) {
    process.env['RIVULET_KAFKA_SKIPPED'] = kafka.skipped;
    return;
  }
  process.env['KAFKA_BROKERS'] = kafka.brokers;
  globalThis.rivuletTestKafka = kafka;
}
