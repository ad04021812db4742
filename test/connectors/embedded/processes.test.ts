import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { systemClock, systemRandom } from '../../../clock.ts';
import { embeddedLog } from '../../../connectors/embedded/file-log.ts';
import type { StreamError } from '../../../errors.ts';
import { seededRandom } from './manual-clock.ts';
import { createPairTopics, numbersUpTo, readPairs } from './pair-workload.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const loader = join(root, 'test/support/typescript-loader.js');
const writer = join(root, 'test/connectors/embedded/pair-writer.ts');

let directory = '';
let child: ChildProcess | undefined;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'rivulet-log-'));
});

afterEach(async () => {
  child?.kill('SIGKILL');
  await rm(directory, { recursive: true, force: true });
});

function open() {
  return embeddedLog({ directory, clock: systemClock, random: systemRandom });
}

/** Starts a writer; `lines` are those of its output, as they come. */
function startWriter(): { readonly process: ChildProcess; readonly lines: AsyncIterator<string> } {
  const process_ = spawn(process.execPath, ['--import', loader, writer, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child = process_;
  return { process: process_, lines: createInterface(process_.stdout)[Symbol.asyncIterator]() };
}

async function killed(
  { process: process_, lines }: ReturnType<typeof startWriter>,
  acknowledged: number,
): Promise<number> {
  const exited = once(process_, 'exit');
  process_.kill('SIGKILL');
  await exited;
  let last = acknowledged;
  for (let line = await lines.next(); line.done !== true; line = await lines.next()) last = Number(line.value);
  return last;
}

describe('a process that is killed with SIGKILL', () => {
  test('loses no acknowledged transaction and leaves none in part, again and again', async () => {
    const random = seededRandom(11);
    let acknowledged = 0;
    for (let round = 0; round < 4; round++) {
      const running = startWriter();
      const first = await running.lines.next();
      expect(Number(String(first.value).replace('open ', ''))).toBeGreaterThanOrEqual(acknowledged);
      const wanted = 50 + Math.floor(random.next() * 300);
      for (let index = 0; index < wanted; index++) acknowledged = Number((await running.lines.next()).value);
      acknowledged = await killed(running, acknowledged);

      const log = await open();
      const { left, right, offset } = await readPairs(log);
      expect(offset).toBeGreaterThanOrEqual(acknowledged);
      expect(left).toEqual(numbersUpTo(offset));
      expect(right).toEqual(left);
      await log.close();
      acknowledged = offset;
    }
  });
});

describe('one directory', () => {
  test('is refused to a second process, which is told who has it, and free again when that one is killed', async () => {
    const running = startWriter();
    await running.lines.next();
    const error = await open().then(
      () => undefined,
      (reason: unknown) => reason as StreamError,
    );
    const pid = running.process.pid!;
    expect(error).toMatchObject({ code: 'LOG_LOCKED', facts: { directory, pid } });
    expect(error!.message).toContain(String(pid));

    await running.lines.next();
    await killed(running, 0);
    const log = await open();
    await log.close();
  });

  test('is refused to a second log of the same process, which does not harm the first', async () => {
    const first = await open();
    await expect(open()).rejects.toMatchObject({ code: 'LOG_LOCKED', facts: { pid: process.pid } });
    await expect(open()).rejects.toMatchObject({ code: 'LOG_LOCKED' });
    await createPairTopics(first);
    await first.close();
    await first.close();
    const second = await open();
    expect((await readPairs(second)).offset).toBe(0);
    await second.close();
  });

  test('is not held by a dead process whose pid was given to another one', async () => {
    const log = await open();
    await log.close();
    const alive = { pid: process.ppid, startedAt: 'long ago', nonce: 'n' };
    await writeFile(join(directory, '~lock'), JSON.stringify(alive));
    if (process.platform === 'linux') await (await open()).close();
    // The same pid as ours, as in a container that was started again.
    await writeFile(join(directory, '~lock'), JSON.stringify({ pid: process.pid, startedAt: '1', nonce: 'n' }));
    await (await open()).close();
    await writeFile(join(directory, '~lock'), '');
    await (await open()).close();
    expect((await readdir(directory)).filter((name) => name.startsWith('~lock'))).toEqual([]);
  });

  test('is free after a failed opening', async () => {
    const log = await open();
    await createPairTopics(log);
    await log.close();
    const journal = join(directory, '~journal');
    const bytes = await readFile(journal);
    await writeFile(journal, Buffer.concat([bytes.subarray(0, 20), Buffer.from('?'), bytes.subarray(21)]));
    await expect(open()).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
    await writeFile(journal, bytes);
    await (await open()).close();
  });

  test('that cannot be written is reported', async () => {
    const file = join(directory, 'file');
    await writeFile(file, '');
    const options = { clock: systemClock, random: systemRandom };
    await expect(embeddedLog({ directory: file, ...options })).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' });
    await expect(embeddedLog({ directory: join(file, 'below'), ...options })).rejects.toMatchObject({
      code: 'LOG_UNAVAILABLE',
    });
  });
});

test('a log of many segments needs few file handles', async () => {
  const log = await open();
  await log.admin.createTopics([{ name: 'wide', partitions: 600 }]);
  const { BatchBuilder } = await import('../../../schemas/record-batch.ts');
  const producer = await log.producer({});
  for (let round = 0; round < 2; round++)
    await producer.send(
      Array.from({ length: 600 }, (_, partition) => {
        const records = new BatchBuilder();
        records.append(1, undefined, Buffer.from('value'), []);
        return { topic: 'wide', partition, records };
      }),
    );
  if (process.platform === 'linux') {
    const handles = await readdir('/proc/self/fd');
    expect(handles.length).toBeLessThan(400);
  }
  const all = Array.from({ length: 600 }, (_, partition) => ({ topic: 'wide', partition }));
  expect((await log.admin.offsets(all)).every(({ end }) => end === 2)).toBe(true);
  await log.close();
});
