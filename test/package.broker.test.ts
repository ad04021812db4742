import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { describeKafka } from './support/kafka.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const run = promisify(execFile);

/** A word count as a user of the package writes it; prints the counts and ends. */
const wordCount = `
const words = defineTopic({ name: 'words-' + suffix, key: stringSerde, value: stringSerde });
const counts = defineTopic({ name: 'counts-' + suffix, key: stringSerde, value: int64Serde });
const topology = defineTopology('word-count-' + suffix, (t) => {
  t.stream(words)
    .flatMapValues((line) => line.toLowerCase().split(' '))
    .groupBy('by-word', (word) => word, { keySerde: stringSerde, valueSerde: stringSerde })
    .count('counts-by-word')
    .toStream()
    .to(counts);
});
async function main() {
  const log = brokers ? kafkaLog({ brokers: [brokers], clientId: 'words' }) : await embeddedLog({ directory: directory + '/log' });
  await log.admin.createTopics([words, counts].map(({ name }) => ({ name, partitions: 3 })));
  const producer = await log.producer({});
  const records = new BatchBuilder();
  records.append(1, undefined, Buffer.from('The quick brown fox'), []);
  records.append(2, undefined, Buffer.from('jumps over the lazy dog'), []);
  await producer.send([{ topic: words.name, partition: 0, records }]);
  await producer.close();
  const stores = levelStores({ directory: directory + '/state' });
  const instance = createInstance({ applicationId: topology.name, instanceId: 'one', topology, host: { log, stores } });
  await instance.start();
  const reader = log.reader({ isolation: 'read_committed' });
  for (let partition = 0; partition < 3; partition += 1) reader.seek({ topic: counts.name, partition }, 0);
  const seen = new Map();
  const deadline = Date.now() + 60000;
  while ((seen.size < 8 || seen.get('the') !== 2) && Date.now() < deadline) {
    for (const batch of (await reader.poll(200)).batches) {
      const cursor = batch.cursor();
      while (cursor.next()) seen.set(Buffer.from(cursor.key()).toString(), int64Serde.deserialize(cursor.value()));
    }
  }
  await reader.close();
  await instance.close();
  await log.close();
  console.log(JSON.stringify(Object.fromEntries([...seen].sort())));
}
main().catch((error) => { console.error(error); process.exitCode = 1; });
`;

const names =
  'BatchBuilder, createInstance, defineTopic, defineTopology, embeddedLog, int64Serde, kafkaLog, levelStores, stringSerde';
const parameters = 'const [suffix, directory, brokers] = process.argv.slice(2);';

const expected = { brown: 1, dog: 1, fox: 1, jumps: 1, lazy: 1, over: 1, quick: 1, the: 2 };

/** A consumer in TypeScript: the types must resolve, and catch a mistake. */
const typed = `
import { defineTopic, defineTopology, int64Serde, stringSerde } from 'rivulet';
import { TestDriver } from 'rivulet/testing';
const words = defineTopic({ name: 'words', key: stringSerde, value: stringSerde });
const lengths = defineTopic({ name: 'lengths', key: stringSerde, value: int64Serde });
const topology = defineTopology('lengths', (t) => {
  t.stream(words).mapValues((word) => word.length).to(lengths);
  // @ts-expect-error a topic of numbers takes no text
  t.stream(words).to(lengths);
});
const driver = new TestDriver(topology);
driver.pipe(words, 'k', 'four');
const length: number | null | undefined = driver.read(lengths)[0]?.value;
console.log(length);
`;

describeKafka('the package, installed from its tarball into an empty project', (brokers) => {
  let project = '';

  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), 'rivulet-package-'));
    await run('npm', ['run', '--silent', 'build'], { cwd: root });
    await run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', project], { cwd: root });
    const tarball = (await readdir(project)).find((name) => name.endsWith('.tgz'));
    await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'empty', private: true }));
    await run('npm', ['install', '--silent', '--no-audit', '--no-fund', `./${tarball ?? ''}`], { cwd: project });
    await writeFile(join(project, 'count.mjs'), `import { ${names} } from 'rivulet';\n${parameters}\n${wordCount}`);
    await writeFile(
      join(project, 'count.cjs'),
      `const { ${names} } = require('rivulet');\n${parameters}\n${wordCount}`,
    );
    await writeFile(join(project, 'typed.ts'), typed);
  }, 240_000);

  afterAll(async () => {
    await rm(project, { recursive: true, force: true });
  });

  test.each([
    ['an ES module, on the embedded log', 'count.mjs', false],
    ['CommonJS, on the embedded log', 'count.cjs', false],
    ['an ES module, on Kafka', 'count.mjs', true],
  ])(
    'counts words as %s',
    async (_, file, isKafka) => {
      const suffix = `${file.slice(-3)}-${String(process.pid)}-${String(isKafka)}`;
      const args = [file, suffix, join(project, suffix), ...(isKafka ? [brokers[0] ?? ''] : [])];
      const { stdout } = await run(process.execPath, ['--no-warnings', ...args], { cwd: project, timeout: 90_000 });
      expect(JSON.parse(stdout)).toEqual(expected);
    },
    120_000,
  );

  test('brings types for both entries, in which a mistake does not compile', async () => {
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const flags = [
      '--noEmit',
      '--strict',
      '--skipLibCheck',
      '--module',
      'nodenext',
      '--target',
      'es2023',
      '--types',
      'node',
    ];
    const types = ['--typeRoots', join(root, 'node_modules', '@types')];
    const { stdout } = await run(process.execPath, [tsc, ...flags, ...types, 'typed.ts'], { cwd: project });
    expect(stdout).toBe('');
  }, 120_000);

  test('holds the build and its documentation, no tests, benches or sources', async () => {
    const { stdout } = await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root });
    const [{ files }] = JSON.parse(stdout) as [{ files: readonly { path: string }[] }];
    const strange = files
      .map(({ path }) => path)
      .filter((path) => !/^(dist\/|docs\/[a-z].*\.md$|README\.md$|LICENSE$|package\.json$)/.test(path));
    expect(strange).toEqual([]);
  }, 60_000);
});
