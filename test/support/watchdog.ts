import { spawn, type ChildProcess } from 'node:child_process';

/**
 * Ends `child` and removes `folders` when this process is gone, whatever ended it: a shell that waits until our end of
 * its pipe closes, which even SIGKILL does. It leaves by itself when the child does.
 */
export function watchOver(child: ChildProcess, ...folders: readonly string[]): void {
  const script = 'cat >/dev/null; kill -9 "$1"; shift; sleep 1; rm -rf "$@"';
  const watchdog = spawn('sh', ['-c', script, 'sh', String(child.pid), ...folders], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  watchdog.unref();
  child.once('exit', () => {
    watchdog.kill('SIGKILL');
  });
}
