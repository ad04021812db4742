/** Asks another instance over HTTP: one request, one deadline, a bounded answer; no redirects, no credentials of the client. */
import {
  Agent,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http';
import type { Clock } from '../clock.ts';
import { StreamError } from '../errors.ts';
import { limits } from './limits.ts';
import type { PeerHosts } from './peer-hosts.ts';
import type { PeerSignature } from './peer-signature.ts';
import { parseStaleness, type Staleness } from './staleness.ts';

export interface PeerRequest {
  /** Path and query. */
  readonly path: string;
  readonly correlationId: string;
  readonly minPosition: string | undefined;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

export interface PeerResponse {
  readonly status: number;
  readonly position: string;
  readonly servedBy: string;
  /** Set when a copy answered. */
  readonly staleness: Staleness | undefined;
  readonly body: string;
}

/** A request of a client, for another process to answer. */
export interface PassedRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** As one of this process, which stands for the client then. */
  readonly isSigned: boolean;
  readonly body: string | undefined;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

export interface PassedAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Peers {
  /** Rejects with `PEER_UNAVAILABLE` when there is no whole answer in time. Only GET, so that trying again is harmless. */
  get(url: string, request: PeerRequest): Promise<PeerResponse>;
  /** Rejects with `PEER_UNAVAILABLE` when there is no whole answer in time; what was asked for may be done all the same. */
  pass(url: string, request: PassedRequest): Promise<PassedAnswer>;
  close(): void;
}

export interface PeersOptions {
  readonly hosts: PeerHosts;
  readonly clock: Clock;
  /** Absent while no token is configured. */
  readonly signature: PeerSignature | undefined;
}

export function createPeers(options: PeersOptions): Peers {
  const agent = new Agent({
    keepAlive: true,
    maxSockets: limits.peerSockets,
    maxFreeSockets: 4,
    // Below the keep-alive time of the other side, which would else close the connection under a request.
    timeout: limits.keepAliveTimeoutMs / 2,
  });
  const send = async (url: string, request: PassedRequest): Promise<PassedAnswer> => {
    const { method, path, body, headers, isSigned } = request;
    const origin = options.hosts.check(url);
    const controller = new AbortController();
    const abort = (): void => controller.abort();
    const timer = options.clock.timer(request.deadlineMs, abort);
    request.signal.addEventListener('abort', abort, { once: true });
    try {
      const signature = isSigned ? options.signature?.sign(method, path, options.clock.nowMs()) : undefined;
      const all = {
        ...headers,
        ...(signature === undefined ? {} : { 'x-iq-signature': signature }),
        ...(body === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }),
      };
      const target = { ...addressOf(origin), method, path, agent, headers: all, signal: controller.signal };
      return await receive(target, body);
    } catch (cause) {
      throw new StreamError('PEER_UNAVAILABLE', 'the owner does not answer', { facts: { peer: origin.host }, cause });
    } finally {
      timer.cancel();
      request.signal.removeEventListener('abort', abort);
    }
  };
  return {
    pass: send,
    get: async (url, { path, deadlineMs, signal, ...rest }) => {
      const request = { method: 'GET', path, deadlineMs, signal, isSigned: true, body: undefined };
      const { status, headers, body } = await send(url, { ...request, headers: headersOf(rest) });
      return {
        status,
        body,
        position: textOf(headers['x-position']),
        servedBy: textOf(headers['x-served-by']),
        staleness: parseStaleness(textOf(headers['x-stale']), textOf(headers['x-stale-lag'])),
      };
    },
    close: () => agent.destroy(),
  };
}

function addressOf(origin: URL): { readonly host: string; readonly port: number } {
  return { host: origin.hostname.replace(/^\[|\]$/g, ''), port: origin.port === '' ? 80 : Number(origin.port) };
}

function headersOf({
  correlationId,
  minPosition,
}: Pick<PeerRequest, 'correlationId' | 'minPosition'>): Record<string, string> {
  return {
    accept: 'application/json',
    'x-iq-forwarded': '1',
    'x-correlation-id': correlationId,
    ...(minPosition === undefined ? {} : { 'x-min-position': minPosition }),
  };
}

function receive(target: RequestOptions, body: string | undefined): Promise<PassedAnswer> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest(target);
    sent.on('error', reject);
    sent.on('response', (response) => {
      const { statusCode: status = 0, headers } = response;
      readBody(response).then(
        (text) => resolve({ status, headers, body: text }),
        (error: unknown) => {
          sent.destroy();
          reject(error instanceof Error ? error : new Error(String(error)));
        },
      );
    });
    sent.end(body);
  });
}

async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > limits.peerResponseBytes) throw new Error('the answer of the owner is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function textOf(header: string | string[] | undefined): string {
  return typeof header === 'string' ? header : '';
}
