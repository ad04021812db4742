/** What happens to processes, brokers and disks under chaos. */
import { mkdir, open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../../clock.ts';
import type { RunningKafka } from '../support/kafka-broker.ts';
import { timeouts, type ChaosWorkload, type MemberProcess, type Place } from './workload.ts';

/** Longest wait for a process that was asked to stop. */
const stopMs = 20_000;
/** Beyond the session time-out, so that others take over meanwhile. */
const pauseMs = timeouts.sessionTimeoutMs + 2_000;
const brokerPauseMs = 8_000;

/** One application process with a directory of its own, started again as often as it takes. */
export class Member {
  readonly id: string;
  readonly #workload: ChaosWorkload;
  readonly #place: Place;
  #process: MemberProcess | undefined;

  constructor(workload: ChaosWorkload, place: Place) {
    this.id = place.id;
    this.#workload = workload;
    this.#place = place;
  }

  async start(): Promise<void> {
    await mkdir(this.#place.directory, { recursive: true });
    this.#process = await this.#workload.start(this.#place);
  }

  get errors(): string {
    return this.#process?.errors() ?? '';
  }

  /** Of its API; `undefined` while it has none. */
  async url(): Promise<string | undefined> {
    return await this.#process?.url();
  }

  signal(signal: NodeJS.Signals): void {
    this.#process?.signal(signal);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.#process?.ended;
  }

  /** Asks it to stop, and insists after a while. */
  async stop(): Promise<void> {
    this.signal('SIGTERM');
    const timer = systemClock.timer(stopMs, () => {
      this.signal('SIGKILL');
    });
    await this.#process?.ended;
    timer.cancel();
  }

  get stateDirectory(): string {
    return join(this.#place.directory, 'state');
  }
}

export interface Scene {
  readonly members: readonly Member[];
  readonly brokers: readonly RunningKafka[];
  /** Uniform in [0, 1), by the seed. */
  readonly random: () => number;
}

export function pick<T>(items: readonly T[], random: () => number): T {
  const item = items[Math.floor(random() * items.length)];
  if (item === undefined) throw new Error('nothing to pick from');
  return item;
}

/** Each resolves once the fault itself is over and all processes run again; recovery is measured from there. */
export const faults: Readonly<Record<string, (scene: Scene) => Promise<void>>> = {
  'SIGKILL of a process': async ({ members, random }) => {
    const member = pick(members, random);
    await member.kill();
    await member.start();
  },
  'SIGSTOP beyond the session timeout': async ({ members, random }) => {
    const member = pick(members, random);
    member.signal('SIGSTOP');
    await systemClock.sleep(pauseMs);
    member.signal('SIGCONT');
  },
  'SIGTERM and restart': async ({ members, random }) => {
    const member = pick(members, random);
    await member.stop();
    await member.start();
  },
  'SIGKILL of all processes': async ({ members }) => {
    await Promise.all(members.map((member) => member.kill()));
    for (const member of members) await member.start();
  },
  'kill -9 of a broker': async ({ brokers, random }) => {
    await pick(brokers, random).restart();
  },
  'pause of a broker': async ({ brokers, random }) => {
    const broker = pick(brokers, random);
    await broker.freeze();
    await systemClock.sleep(brokerPauseMs);
    broker.kill('SIGCONT');
  },
  'wiped state directory': async ({ members, random }) => {
    const member = pick(members, random);
    await member.kill();
    await rm(member.stateDirectory, { recursive: true, force: true });
    await member.start();
  },
  'damaged state directory': async ({ members, random }) => {
    const member = pick(members, random);
    await member.kill();
    await damage(member.stateDirectory, random);
    await member.start();
  },
};

/** Flips a byte in a few files of the stores, wherever it falls. */
async function damage(directory: string, random: () => number): Promise<void> {
  const names = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = names.filter((entry) => entry.isFile() && /\.(log|ldb)$|MANIFEST/.test(entry.name));
  for (let count = 0; count < 4 && files.length > 0; count += 1) {
    const entry = pick(files, random);
    const file = await open(join(entry.parentPath, entry.name), 'r+');
    try {
      const { size } = await file.stat();
      const at = Math.floor(random() * size);
      const byte = Buffer.alloc(1);
      if ((await file.read(byte, 0, 1, at)).bytesRead === 0) continue;
      byte[0] = (byte[0] ?? 0) ^ 0xff;
      await file.write(byte, 0, 1, at);
    } finally {
      await file.close();
    }
  }
}
