import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Covers a first download of about 60 MB over a slow line. */
const fetchMsMax = 300_000;

export interface Jars {
  /** The `pom.xml` that names them. */
  readonly pom: string;
  /** Gets a folder `lib` with all jars, or none; two runs may fetch at the same time. */
  readonly folder: string;
  /** Further arguments of Maven. */
  readonly args?: readonly string[];
}

/** Copies jars into `folder`/lib unless they are there. Returns why that was not possible. */
export async function fetchJars({ pom, folder, args = [] }: Jars): Promise<string | undefined> {
  const lib = join(folder, 'lib');
  if (existsSync(lib)) return undefined;
  await mkdir(join(folder, '..'), { recursive: true });
  const staging = await mkdtemp(`${folder}-`);
  const goal = ['-q', '-B', '-f', pom, ...args, 'dependency:copy-dependencies'];
  const target = [`-DoutputDirectory=${join(staging, 'lib')}`, '-DincludeScope=runtime'];
  try {
    await run('mvn', [...goal, ...target], { timeout: fetchMsMax });
    await rename(staging, folder).catch((error: unknown) => {
      if (!existsSync(lib)) throw error;
    });
    return undefined;
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n', 3).join(' ') : String(error);
    return `Maven could not fetch the jars of ${pom}: ${why}`;
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}
