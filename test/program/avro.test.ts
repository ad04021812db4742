import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, jest, test } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import { embeddedLog } from '../../connectors/embedded/file-log.ts';
import { openEmbeddedRegistry } from '../../connectors/registry/embedded-registry.ts';
import { startApplication } from '../support/application.ts';
import { avroReader } from '../support/avro-topics.ts';
import { until } from '../support/cluster.ts';

// Longer than any wait within: what is waited for in vain is named.
jest.setTimeout(600_000);
const waitMs = 240_000;

test('on the embedded log values are Avro that whoever opens the log later reads with the registry that lies in it', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'rivulet-avro-'));
  const application = startApplication({ DATA_DIR: directory, TOPOLOGIES: 'customer-merge', SAMPLE_FEED: 'true' });
  try {
    const base = await application.url;
    const found = async (path: string): Promise<number> => {
      const response = await fetch(`${base}${path}`).catch(() => undefined);
      return response?.status === 200 ? ((await response.json()) as { items: unknown[] }).items.length : 0;
    };
    await until('there are conflicts', async () => (await found('/customers?hasConflicts=true&limit=1')) > 0, waitMs);
    const subjects = (await (await fetch(`${base}/registry/subjects`)).json()) as readonly string[];
    expect(subjects).toContain('customer.merged-value');
    application.signal('SIGTERM');
    expect(await application.ended).toBe(0);

    const parts = { clock: systemClock, random: systemRandom, logger: silentLogger };
    const log = await embeddedLog({ directory: join(directory, 'log'), ...parts });
    const registry = await openEmbeddedRegistry({ log, topic: '_schemas', clock: systemClock });
    const counts = await (await avroReader(registry)).counts(log);
    for (const topic of ['customer.sources', 'customer.merged', 'customer.conflicts'])
      expect(counts.get(topic)).toBeGreaterThan(0);
    await registry.close();
    await log.close();
  } finally {
    application.signal('SIGKILL');
    await application.ended;
    await rm(directory, { recursive: true, force: true });
  }
});
