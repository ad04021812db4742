/**
 * `npm run bench -- [--log kafka:host:port | embedded:DIR] [--workloads count,windowed,balance,merge] [--guarantees …] [--records N]`
 *
 * Each measurement runs in a fresh process. Machines are noisy: compare CPU seconds per million records, in one session.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ensureInputs } from './inputs.ts';
import { openLogFor } from './log.ts';
import { run } from './run.ts';
import { workloads } from './workloads.ts';
import type { Workload } from './workloads.ts';

const { values } = parseArgs({
  options: {
    log: { type: 'string' },
    workloads: { type: 'string', default: workloads.join(',') },
    guarantees: { type: 'string', default: 'at_least_once,exactly_once' },
    records: { type: 'string' },
    one: { type: 'string' },
  },
});

if (values.one === undefined) await runAll();
else await run(JSON.parse(values.one) as Parameters<typeof run>[0]);

async function runAll(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'rivulet-bench-'));
  const log =
    values.log ??
    (process.env['KAFKA_BROKERS'] === undefined
      ? `embedded:${join(directory, 'log')}`
      : `kafka:${process.env['KAFKA_BROKERS']}`);
  const records = values.records === undefined ? undefined : Number(values.records);
  const filler = await openLogFor(log);
  const filled = await ensureInputs(filler, records);
  await filler.close();
  console.log(
    `log ${log.slice(0, log.indexOf(':'))}; inputs ${filled.length === 0 ? 'kept' : `written: ${filled.join(', ')}`}`,
  );
  const stamp = String(Date.now());
  try {
    for (const workload of values.workloads.split(',') as Workload[]) {
      const guarantees = values.guarantees.split(',');
      for (const guarantee of guarantees) {
        const applicationId = `bench-${workload}-${guarantee}-${stamp}`;
        const common = {
          workload,
          guarantee,
          log,
          applicationId,
          stateDirectory: join(directory, applicationId),
          ...(records === undefined ? {} : { records }),
        };
        await child({ ...common, restore: false });
        if (guarantee === guarantees.at(-1)) await child({ ...common, restore: true });
      }
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function child(options: unknown): Promise<void> {
  const loader = fileURLToPath(new URL('../test/support/typescript-loader.js', import.meta.url));
  const main = fileURLToPath(import.meta.url);
  await new Promise<void>((resolve, reject) => {
    const started = spawn(process.execPath, ['--import', loader, main, '--one', JSON.stringify(options)], {
      stdio: 'inherit',
    });
    started.on('exit', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`a measurement ended with ${String(code)}`));
    });
  });
}
