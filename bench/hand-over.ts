/**
 * `node --import ./test/support/typescript-loader.js bench/hand-over.ts [--log kafka|memory] [--rounds 10] [--standbys 1]`
 *
 * How long records wait when one of two that share the work is killed or told to stop: two processes on a Kafka of their own (or on `KAFKA_BROKERS`), or two
 * instances on a log in memory.
 */
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { instancesInMemory, measureHandOvers, processesOnKafka } from '../test/support/hand-over.ts';
import type { HandOver, Stage } from '../test/support/hand-over.ts';
import { startKafka } from '../test/support/kafka-broker.ts';

const { values } = parseArgs({
  options: {
    log: { type: 'string', default: 'kafka' },
    rounds: { type: 'string', default: '10' },
    standbys: { type: 'string', default: '1' },
  },
});
const standbys = Number(values.standbys);
if (values.log === 'memory') await measure(instancesInMemory(standbys));
else {
  const kafka = await startKafka();
  if ('skipped' in kafka) throw new Error(kafka.skipped);
  try {
    await measure(await processesOnKafka(kafka.brokers.split(',')[0] ?? '', standbys));
  } finally {
    await kafka.stop();
  }
}

async function measure(stage: Stage): Promise<void> {
  const signals = (['SIGTERM', 'SIGKILL'] as const).flatMap((signal) =>
    Array.from({ length: Number(values.rounds) }, () => signal),
  );
  const { handOvers, written, counted } = await measureHandOvers(stage, signals);
  console.log(`session timeout 3000 ms, heartbeats 500 ms; ${written} records written, ${counted} counted`);
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) console.log(summary(signal, handOvers));
  console.log(`load of the machine over the last 5 minutes: ${(loadavg()[1] ?? 0).toFixed(1)}`);
}

function summary(signal: HandOver['signal'], handOvers: readonly HandOver[]): string {
  const sorted = handOvers
    .filter((handOver) => handOver.signal === signal)
    .map(({ ms }) => ms)
    .sort((a, b) => a - b);
  const at = (share: number): string => String(Math.round(sorted[Math.floor((sorted.length - 1) * share)] ?? 0));
  return `${signal}: first committed output after p50 ${at(0.5)} ms, p90 ${at(0.9)} ms, longest ${at(1)} ms (${sorted.length} times)`;
}
