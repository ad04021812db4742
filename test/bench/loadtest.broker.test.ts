import { expect, test } from '@jest/globals';
import { describeKafka } from '../support/kafka.ts';
import { outputOf } from '../support/program.ts';

const small = ['--seconds', '20', '--warm-up', '0', '--transfers', '150', '--accounts', '20'];

describeKafka('the load test of billing', () => {
  test.each([
    { log: 'kafka', phases: 'http:100+100,bulk:max,records:max', more: ['--answering', 'billing-balances'] },
    { log: 'embedded', phases: 'http:100,bulk:max', more: [] },
  ])(
    'on the $log log it settles all that it hands in, tells how fast, and finds nothing amiss',
    async (given) => {
      const output = await outputOf('../bench/loadtest.ts', [
        '--log',
        given.log,
        '--phases',
        given.phases,
        ...small,
        ...given.more,
      ]);
      const phases = given.phases.split(',').length;
      expect(output.match(/: 150 transfers$/gm)).toHaveLength(phases);
      expect(output.match(/settled \d+\/s$/gm)).toHaveLength(phases);
      const transfers = phases * 150;
      const audited = { violations: 0, requests: transfers + 40, completed: transfers + 40, failed: 0 };
      expect(JSON.parse(/^audit: (.*)$/m.exec(output)?.[1] ?? '')).toMatchObject(audited);
    },
    300_000,
  );
});
