// Runs every static check, cheap ones first, and names the ones that failed: a red run shows all its reasons at once.
import { spawnSync } from 'node:child_process';

const steps = ['format:check', 'lint', 'types', 'deps', 'dead', 'build', 'api'];

const failed = steps.filter((step) => {
  const startMs = performance.now();
  const { status } = spawnSync('npm', ['run', '--silent', step], { stdio: 'inherit' });
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  console.log(`verify: ${step} ${status === 0 ? 'passed' : 'FAILED'} (${seconds} s)`);
  return status !== 0;
});

if (failed.length > 0) {
  console.error(`verify: FAILED in ${failed.join(', ')}`);
  process.exit(1);
}
console.log('verify: all passed');
