/** A TypeScript program of this repository as a child process that can be killed. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const loader = new URL('./typescript-loader.js', import.meta.url).href;

export class Child {
  readonly #process: ChildProcess;
  /** Its exit code; `null` if a signal ended it. */
  readonly ended: Promise<number | null>;
  #errors = '';

  /** `program` is relative to `test/support`. */
  constructor(program: string, args: readonly string[]) {
    const path = fileURLToPath(new URL(program, import.meta.url));
    this.#process = spawn(process.execPath, ['--import', loader, path, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#process.stderr?.on('data', (chunk: Buffer) => {
      this.#errors = (this.#errors + chunk.toString()).slice(-20_000);
    });
    this.ended = new Promise((resolve) => {
      this.#process.once('exit', resolve);
    });
  }

  /** The end of what it wrote to standard error. */
  get errors(): string {
    return this.#errors;
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** Kills it without a chance to tidy up. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.ended;
  }

  /** Asks it to stop; resolves with its exit code. */
  async stop(): Promise<number | null> {
    this.#process.kill('SIGTERM');
    return await this.ended;
  }
}
