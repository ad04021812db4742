import { expect, test } from '@jest/globals';
import { describeKafka } from '../support/kafka.ts';
import { measureHandOvers, processesOnKafka } from '../support/hand-over.ts';

/** Of `counting-process.ts`. */
const sessionTimeoutMs = 3_000;
/** Machines that run tests may be slow; `bench/hand-over.ts` measures. */
const slowMachineMs = 30_000;

describeKafka('processes with standbys', (brokers) => {
  test('hand their tasks over when killed or told to stop, and every record is counted once', async () => {
    const stage = await processesOnKafka(brokers[0] ?? '', 1);
    const { handOvers, written, counted } = await measureHandOvers(stage, ['SIGTERM', 'SIGKILL']);
    expect(counted).toBe(written);
    for (const { signal, ms } of handOvers)
      expect(ms).toBeLessThan(slowMachineMs + (signal === 'SIGKILL' ? sessionTimeoutMs : 0));
  }, 400_000);
});
