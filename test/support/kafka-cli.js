// Runs a broker in the foreground until it is interrupted: `npm run kafka`.
import './typescript-loader.js';

const { startKafka } = await import('./kafka-broker.ts');
const kafka = await startKafka();
if ('skipped' in kafka) {
  console.error(kafka.skipped);
  process.exit(1);
}
console.log(`KAFKA_BROKERS=${kafka.brokers}`);

// The broker's pipe keeps this process alive; without a broker of our own there is nothing to wait for.
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    void kafka.stop().then(() => process.exit(0));
  });
}
