import { describe, expect, test } from '@jest/globals';
import type { Request } from '../../commands/api-client.ts';
import { rolloutReportCommand } from '../../commands/rollout-report.ts';
import { createApiMetrics } from '../../api/metrics.ts';

const good = { check: 'dead letters', isPassed: true, value: 0, limit: 0 };

/** The page of an instance that has answered reads in so many seconds, and whose view is so late. */
async function pageOf(reads: readonly number[], staleness?: number): Promise<string> {
  const help = 'How long the oldest change that the view does not show has waited.';
  const sample = { name: 'mv_staleness_seconds', help, type: 'gauge', labels: {} } as const;
  const metrics = createApiMetrics([], async () => (staleness === undefined ? [] : [{ ...sample, value: staleness }]));
  for (const seconds of reads)
    metrics.observeRequest({ method: 'GET', route: '/customers/:email', status: '200' }, seconds);
  // Neither is a read of one thing.
  metrics.observeRequest({ method: 'GET', route: '/customers', status: '200' }, 9);
  metrics.observeRequest({ method: 'PUT', route: '/customers/:email', status: '200' }, 9);
  return await metrics.render();
}

async function command(
  pages: Readonly<Record<string, string>>,
  { args = [], isPassed = true }: { readonly args?: readonly string[]; readonly isPassed?: boolean } = {},
): Promise<readonly [code: number, lines: readonly string[]]> {
  const request: Request = (_method, path) => {
    const body = path.startsWith('/admin') ? { checks: [{ ...good, isPassed }] } : pages[path];
    return Promise.resolve(body === undefined ? { status: 0, body: {} } : { status: 200, body });
  };
  const lines: string[] = [];
  return [await rolloutReportCommand(args, { request, print: (line) => lines.push(line) }), lines];
}

const fast = (count: number): readonly number[] => Array.from({ length: count }, () => 0.02);

describe('rollout-report', () => {
  test('says go where ninety-nine of a hundred reads are fast, and the view is', async () => {
    const [code, lines] = await command({ '/metrics': await pageOf([...fast(99), 2], 1.5) });
    expect(lines).toEqual([
      'passed  dead letters: 0 (limit 0)',
      'passed  share of reads within 0.03 s: 0.99 (limit 0.99)',
      'passed  lag of the view in seconds: 1.5 (limit 5)',
      'GO',
    ]);
    expect(code).toBe(0);
  });

  test.each([
    ['slow reads', [...fast(98), 2, 0.04], 0, true],
    ['no reads at all', [], 0, true],
    ['a view that is late', fast(100), 5.1, true],
    ['what was compared', fast(100), 0, false],
  ])('says no-go for %s', async (_, reads, staleness, isPassed) => {
    const [code, lines] = await command({ '/metrics': await pageOf(reads, staleness) }, { isPassed });
    expect([code, lines.at(-1)]).toEqual([1, 'NO-GO']);
    expect(lines.filter((line) => line.startsWith('FAILED'))).toHaveLength(1);
  });

  test('adds the instances up that are named, and can say nothing if one of them does not answer', async () => {
    const pages = { 'http://one:3000/metrics': await pageOf(fast(99)), 'http://two/metrics': await pageOf([2]) };
    const args = ['--instances', 'http://one:3000,http://two/'];
    expect((await command(pages, { args }))[1]).toContain('passed  share of reads within 0.03 s: 0.99 (limit 0.99)');
    expect(await command({ 'http://two/metrics': await pageOf([]) }, { args })).toEqual([
      1,
      ['no report: an instance shows no metrics'],
    ]);
    expect((await command({}, { args: ['--instances', 'one'] }))[0]).toBe(2);
  });
});
