/** The application as a process of its own: `main.ts`, as `npm start` runs it. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { watchOver } from './watchdog.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

export interface RunningApplication {
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Exit code, or the signal that ended it; once all that it said has been read. */
  readonly ended: Promise<number | string>;
  /** Of the API, once it listens. */
  readonly url: Promise<string>;
  readonly signal: (signal: NodeJS.Signals) => void;
  readonly pid: number | undefined;
}

export interface StartOptions {
  readonly args?: readonly string[];
  readonly nodeArgs?: readonly string[];
  /** Yields its core at once to whoever else wants it, where the system can do that. */
  readonly isBackground?: boolean;
}

const inBackground = process.platform === 'linux' ? ['chrt', '--idle', '0'] : ['nice', '-n', '19'];

/** Starts it on a free port, without samples, with these variables and those of nobody else. It dies with this process. */
export function startApplication(
  env: Readonly<Record<string, string>>,
  { args = [], nodeArgs = [], isBackground = false }: StartOptions = {},
): RunningApplication {
  const loading = ['--import', './test/support/typescript-loader.js'];
  const command = [process.execPath, ...nodeArgs, ...loading, 'main.ts', ...args];
  const [program = '', ...rest] = isBackground ? [...inBackground, ...command] : command;
  const child = spawn(program, rest, {
    cwd: root,
    env: { PATH: process.env['PATH'], PORT: '0', SAMPLE_FEED: 'false', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  watchOver(child);
  let [stdout, stderr] = ['', ''];
  let hasUrl: (url: string) => void = () => undefined;
  const url = new Promise<string>((resolve) => {
    hasUrl = resolve;
  });
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString('utf8');
    const found = /(http:\/\/127\.0\.0\.1:\d+)\//.exec(stdout)?.[1];
    if (found !== undefined) hasUrl(found);
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString('utf8');
  });
  const ended = new Promise<number | string>((resolve) => {
    child.on('close', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
  const signal = (name: NodeJS.Signals): void => {
    child.kill(name);
  };
  return { stdout: () => stdout, stderr: () => stderr, ended, url, signal, pid: child.pid };
}
