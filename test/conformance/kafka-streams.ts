/** Kafka Streams itself, in the test driver of Apache Kafka: says what a case gives. Needs Java 17 and Maven. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { fetchJars } from '../support/jars.ts';
import type { ConformanceCase, Output } from './format.ts';

const run = promisify(execFile);

/** What it made of a case, step by step. */
export interface Answer {
  readonly outputs: Readonly<Record<string, readonly (readonly Output[])[]>>;
  readonly errors: readonly (string | null)[];
  readonly drops: readonly number[];
  readonly stores: readonly (readonly Output[])[];
}

/** It refuses to build the topology. */
export interface Refusal {
  readonly failed: string;
}

export interface KafkaStreams {
  ask(of: ConformanceCase): Promise<Answer | Refusal>;
  close(): Promise<void>;
}

/** Fetches the jars and compiles the program beside this file, both into the cache of the repository. Rejects without Java or Maven. */
export async function startKafkaStreams(): Promise<KafkaStreams> {
  const java = fileURLToPath(new URL('./java/', import.meta.url));
  const folder = fileURLToPath(new URL('../../.cache/kafka-streams', import.meta.url));
  const missing = await fetchJars({ pom: join(java, 'pom.xml'), folder });
  if (missing !== undefined) throw new Error(missing);
  const classes = join(folder, 'classes');
  await mkdir(classes, { recursive: true });
  const names = await readdir(join(java, 'src'));
  const sources = names.map((name) => join(java, 'src', name));
  await run('javac', ['-cp', join(folder, 'lib', '*'), '-d', classes, ...sources]);
  const classPath = `${classes}:${join(folder, 'lib', '*')}`;
  const child = spawn('java', ['-Dorg.slf4j.simpleLogger.defaultLogLevel=off', '-cp', classPath, 'Main'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    ask: async (of) => {
      child.stdin.write(`${JSON.stringify(of)}\n`);
      const line = (await lines.next()) as IteratorResult<string, undefined>;
      if (line.done === true) throw new Error('the program of Kafka Streams has ended');
      return JSON.parse(line.value) as Answer | Refusal;
    },
    close: async () => {
      child.stdin.end();
      await exited;
    },
  };
}
