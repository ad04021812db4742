import { spawn, type ChildProcess } from 'node:child_process';

/**
 * Ends `child` and removes `folder` when this process is gone, whatever ended it: a shell that waits until our end of
 * its pipe closes, which even SIGKILL does. It leaves by itself when the child does.
 */
export function watchOver(child: ChildProcess, folder: string): void {
  const script = 'cat >/dev/null; kill -9 "$1"; sleep 1; rm -rf "$2"';
  const watchdog = spawn('sh', ['-c', script, 'sh', String(child.pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  watchdog.unref();
  child.once('exit', () => {
    watchdog.kill('SIGKILL');
  });
}
