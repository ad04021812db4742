/** The thread of an open loop: sends each request when it is due, whatever became of those before. */
import { parentPort, workerData } from 'node:worker_threads';
import { httpConnection, type HttpConnection } from './http-connection.ts';
import type { OpenLoopLane, OpenLoopWork } from './open-loop.ts';

const connectionsMax = 128;
const turnMs = 1;

const { urls, headers, lanes, startMs } = workerData as OpenLoopWork;

interface Running extends OpenLoopLane {
  readonly figures: { readonly ms: number[]; readonly lateMs: number[]; readonly statuses: number[] };
}

const addresses = urls.map((url) => ({ host: new URL(url).hostname, port: Number(new URL(url).port) }));
const idle: HttpConnection[] = Array.from({ length: connectionsMax }, (_, index) =>
  httpConnection(addresses[index % addresses.length] ?? { host: '', port: 0 }),
);
/** Due, and without a connection. */
const due: (() => void)[] = [];
const running: readonly Running[] = lanes.map((lane) => ({ ...lane, figures: { ms: [], lateMs: [], statuses: [] } }));
let isStopped = false;
let underWay = 0;

const nowMs = (): number => performance.timeOrigin + performance.now();

function send(lane: Running, index: number): void {
  const { requests, figures, perSecond } = lane;
  const dueMs = startMs + (index / perSecond) * 1_000;
  const { method, path, body = '' } = requests[index % requests.length] ?? { method: 'GET', path: '/' };
  const type = body === '' ? '' : `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n`;
  const text = `${method} ${path} HTTP/1.1\r\nhost: load\r\n${headers}${type}\r\n${body}`;
  const begin = (): void => {
    const connection = idle.pop();
    if (connection === undefined) {
      due.push(begin);
      return;
    }
    figures.lateMs[index] = nowMs() - dueMs;
    connection.send(text, (status) => {
      figures.ms[index] = nowMs() - dueMs;
      figures.statuses[index] = status;
      idle.push(connection);
      underWay -= 1;
      due.shift()?.();
    });
  };
  underWay += 1;
  begin();
}

/** Whether all of it has been sent. */
function sendDue(lane: Running, elapsedMs: number): boolean {
  const { figures, count, perSecond } = lane;
  const sent = figures.statuses;
  while (!isStopped && sent.length < count && (sent.length / perSecond) * 1_000 <= elapsedMs) {
    // Its place, until the answer is there.
    sent.push(0);
    send(lane, sent.length - 1);
  }
  return isStopped || sent.length >= count;
}

function turn(): void {
  const elapsedMs = nowMs() - startMs;
  const areSent = running.map((lane) => sendDue(lane, elapsedMs));
  if (underWay > 0 || !areSent.every(Boolean)) {
    setTimeout(turn, turnMs);
    return;
  }
  for (const connection of idle) connection.close();
  parentPort?.postMessage(running.map(({ figures }) => figures));
  parentPort?.close();
}

parentPort?.on('message', () => {
  isStopped = true;
});
turn();
