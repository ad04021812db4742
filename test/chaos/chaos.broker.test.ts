import { expect, test } from '@jest/globals';
import { describeKafka } from '../support/kafka.ts';
import { outputOf } from '../support/program.ts';

describeKafka('chaos on real processes', () => {
  test('processes killed, paused and robbed of their state, and a broker killed, lose and repeat nothing', async () => {
    const output = await outputOf('chaos/chaos.ts', ['--seconds', '30', '--seed', '7']);
    expect(output).toContain('{"lost":0,"duplicated":0,"wrong":0,"regressions":0}');
  }, 600_000);
});
