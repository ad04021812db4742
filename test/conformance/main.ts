/** `npm run conformance -- FILE…`: runs the cases of each file and says which passed; ends with 1 if one failed. */
import { readFile } from 'node:fs/promises';
import { parseCases } from './format.ts';
import { runCase } from './run-case.ts';

const files = process.argv.slice(2);
if (files.length === 0) {
  console.error('usage: npm run conformance -- FILE…');
  process.exit(2);
}

const totals = { passed: 0, failed: 0, skipped: 0 };
const reasons = new Map<string, number>();
for (const file of files) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const of of parseCases(await readFile(file, 'utf8'))) {
    const result = await runCase(of);
    counts[result.outcome] += 1;
    if (result.outcome === 'failed') console.log(`failed   ${of.name} (${of.kind})\n         ${result.difference}`);
    if (result.outcome === 'skipped') reasons.set(result.reason, (reasons.get(result.reason) ?? 0) + 1);
  }
  console.log(`${file}: ${text(counts)}`);
  for (const outcome of ['passed', 'failed', 'skipped'] as const) totals[outcome] += counts[outcome];
}
for (const [reason, count] of reasons) console.log(`skipped  ${String(count)} for want of: ${reason}`);
console.log(`total: ${text(totals)}`);
process.exitCode = totals.failed > 0 ? 1 : 0;

function text(counts: typeof totals): string {
  return `${String(counts.passed)} passed, ${String(counts.failed)} failed, ${String(counts.skipped)} skipped`;
}
