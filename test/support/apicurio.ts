import { mkdtemp } from 'node:fs/promises';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from './free-ports.ts';
import { JavaServer } from './java-server.ts';
import { fetchDistribution } from './maven.ts';

export interface RunningRegistry {
  /** Of the interface that is Confluent's. */
  readonly url: string;
  /** Of Apicurio's own, which its converter for Kafka Connect uses. */
  readonly nativeUrl: string;
  stop(): Promise<void>;
}

/** An Apicurio registry in memory, with Confluent's default level. Rejects where it cannot be had: it needs Java 17 and Maven. */
export async function startApicurio(): Promise<RunningRegistry> {
  const folder = await fetchDistribution('io.apicurio:apicurio-registry-app:2.6.13.Final:tar.gz:all');
  const jar = readdirSync(folder).find((name) => name.endsWith('-runner.jar'));
  if (jar === undefined) throw new Error(`no program in ${folder}`);
  const [port = 0] = await freePorts(1);
  const address = [`-Dquarkus.http.host=127.0.0.1`, `-Dquarkus.http.port=${String(port)}`];
  const args = ['-Xmx256m', '-XX:TieredStopAtLevel=1', ...address, '-jar', join(folder, jar)];
  const server = new JavaServer(await mkdtemp(join(tmpdir(), 'rivulet-apicurio-')), args);
  const url = `http://127.0.0.1:${String(port)}/apis/ccompat/v7`;
  await server.start(async () => (await fetch(`${url}/subjects`)).ok);
  await fetch(`${url}/config`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ compatibility: 'BACKWARD' }),
  });
  return { url, nativeUrl: `http://127.0.0.1:${String(port)}/apis/registry/v2`, stop: () => server.stop() };
}
