import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const cache = fileURLToPath(new URL('../../.cache', import.meta.url));
/** Covers a first download of 150 MB over a slow line. */
const fetchMsMax = 600_000;

/** A packed distribution in Maven's central repository: `group:artifact:version:tar.gz:classifier`. */
export type Coordinates = `${string}:${string}:${string}:tar.gz:${string}`;

/** The folder of a distribution, fetched and unpacked once; rejects if there is no Maven or no such thing. Two runs may do so at the same time. */
export async function fetchDistribution(coordinates: Coordinates): Promise<string> {
  const [, artifact = '', version = ''] = coordinates.split(':');
  const folder = join(cache, `${artifact}-${version}`);
  if (existsSync(folder)) return folder;
  const plugin = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:unpack';
  return await filled(folder, async (staging) => {
    const args = ['-q', '-B', plugin, `-Dartifact=${coordinates}`, `-DoutputDirectory=${staging}`];
    await run('mvn', args, { cwd: staging, timeout: fetchMsMax });
  });
}

/** The folder of the jars that a POM names, copied once; `name` stands for the POM and its versions. */
export async function fetchJars(name: string, pom: string): Promise<string> {
  const folder = join(cache, name);
  if (existsSync(folder)) return folder;
  return await filled(folder, async (staging) => {
    const args = ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${staging}`];
    await run('mvn', [...args, '-DincludeScope=runtime'], { timeout: fetchMsMax });
  });
}

/** All or nothing appears under `folder`. */
async function filled(folder: string, fill: (staging: string) => Promise<void>): Promise<string> {
  await mkdir(cache, { recursive: true });
  const staging = await mkdtemp(`${folder}-`);
  try {
    await fill(staging);
    await rename(staging, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error;
    });
    return folder;
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}
