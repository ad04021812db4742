import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { watchOver } from './watchdog.ts';

/** They are up within ten seconds on an idle machine; a loaded one takes many times as long. */
const startMsMax = 300_000;

/** A Java program that serves, in a folder of its own, until `stop`. It dies with this process. */
export class JavaServer {
  readonly #folder: string;
  readonly #args: readonly string[];
  readonly #env: Readonly<Record<string, string>>;
  #process: ChildProcess | undefined;

  /** `env` comes on top of this process's own. */
  constructor(folder: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.#folder = folder;
    this.#args = args;
    this.#env = env;
  }

  /** Resolves when `isReady` does not throw and says so; rejects with the end of the log if the program ends before, or takes too long. */
  async start(isReady: () => Promise<boolean>): Promise<void> {
    const log = openSync(this.#logFile, 'a');
    const child = spawn('java', this.#args, {
      cwd: this.#folder,
      env: { ...process.env, ...this.#env },
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    await once(child, 'spawn');
    this.#process = child;
    watchOver(child, this.#folder);
    const deadlineMs = Date.now() + startMsMax;
    let lastError: unknown;
    while (Date.now() < deadlineMs && child.exitCode === null && child.signalCode === null) {
      try {
        if (await isReady()) return;
      } catch (error) {
        lastError = error;
      }
      await sleep(100);
    }
    const tail = (await readFile(this.#logFile, 'utf8')).split('\n').slice(-40).join('\n');
    throw new Error(`a Java server did not start; the end of its log:\n${tail}`, { cause: lastError });
  }

  /** Without a chance to tidy up. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** Ends it and removes its folder. */
  async stop(): Promise<void> {
    await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }

  get #logFile(): string {
    return join(this.#folder, 'server.log');
  }
}
