/**
 * `node --import ./test/support/typescript-loader.js bench/floor.ts [--rate 1000] [--seconds 10] [--front 0.5] [--back 0.25]`
 *
 * What this machine gives to a request that does nothing: over HTTP to one process, over TCP to a second one and back, at a fixed rate, with so many
 * milliseconds of CPU in each. Accepting a command takes this way too, with Kafka as the second process, so it cannot be faster.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { latenciesOf, openLoop } from './loadtest/open-loop.ts';

const { values } = parseArgs({
  options: {
    rate: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '10' },
    front: { type: 'string', default: '0.5' },
    back: { type: 'string', default: '0.25' },
    role: { type: 'string' },
    port: { type: 'string' },
  },
});

/** Uses the core for so long. */
function work(ms: number): void {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs);
}

async function listening(server: Server): Promise<void> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  process.once('disconnect', () => process.exit());
  process.send?.((server.address() as AddressInfo).port);
}

async function back(): Promise<void> {
  const workMs = Number(values.back);
  await listening(
    createServer({ noDelay: true }, (socket) => {
      socket.on('data', (bytes) => {
        for (let count = 0; count < bytes.length; count += 1) work(workMs);
        socket.write(bytes);
      });
    }),
  );
}

async function front(): Promise<void> {
  const workMs = Number(values.front);
  const waiting: (() => void)[] = [];
  const socket = connect({ host: '127.0.0.1', port: Number(values.port), noDelay: true });
  socket.on('data', (bytes: Buffer) => {
    for (const answer of waiting.splice(0, bytes.length)) answer();
  });
  const server = createHttpServer((request, response) => {
    request.resume().on('end', () => {
      work(workMs);
      waiting.push(() => response.writeHead(202, { 'content-length': 2 }).end('{}'));
      socket.write('.');
    });
  });
  await listening(server);
}

async function start(role: string, args: readonly string[]): Promise<{ readonly port: number; stop(): void }> {
  const child = fork(fileURLToPath(import.meta.url), ['--role', role, ...args]);
  const [port] = (await once(child, 'message')) as [number];
  return { port, stop: () => child.kill() };
}

async function measure(): Promise<void> {
  const second = await start('back', ['--back', values.back]);
  const first = await start('front', ['--front', values.front, '--port', String(second.port)]);
  const perSecond = Number(values.rate);
  const requests = [{ method: 'POST', path: '/', body: '{}' }] as const;
  const lanes = [{ perSecond, count: perSecond * Number(values.seconds), requests }];
  for (const what of ['warm-up', 'measured']) {
    const [figures] = await openLoop([`http://127.0.0.1:${String(first.port)}`], undefined, lanes).figures;
    if (figures !== undefined)
      console.log(`${what}: answered, from when it was due: ${latenciesOf(figures, 202).toString()}`);
  }
  first.stop();
  second.stop();
}

const roles = new Map([
  ['front', front],
  ['back', back],
]);
await (roles.get(values.role ?? '') ?? measure)();
