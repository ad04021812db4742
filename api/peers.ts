/** Asks another instance over HTTP: one request, one deadline, a bounded answer; no redirects, no credentials of the client. */
import { Agent, request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
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

export interface Peers {
  /** Rejects with `PEER_UNAVAILABLE` when there is no whole answer in time. Only GET, so that trying again is harmless. */
  get(url: string, request: PeerRequest): Promise<PeerResponse>;
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
  return {
    get: async (url, peerRequest) => {
      const origin = options.hosts.check(url);
      const controller = new AbortController();
      const abort = (): void => controller.abort();
      const timer = options.clock.timer(peerRequest.deadlineMs, abort);
      peerRequest.signal.addEventListener('abort', abort, { once: true });
      try {
        const headers = headersOf(peerRequest, options);
        const sent = httpRequest({
          ...addressOf(origin),
          path: peerRequest.path,
          agent,
          headers,
          signal: controller.signal,
        });
        return await receive(sent);
      } catch (cause) {
        throw new StreamError('PEER_UNAVAILABLE', 'the owner does not answer', { facts: { peer: origin.host }, cause });
      } finally {
        timer.cancel();
        peerRequest.signal.removeEventListener('abort', abort);
      }
    },
    close: () => agent.destroy(),
  };
}

function addressOf(origin: URL): { readonly host: string; readonly port: number } {
  return { host: origin.hostname.replace(/^\[|\]$/g, ''), port: origin.port === '' ? 80 : Number(origin.port) };
}

function headersOf(peerRequest: PeerRequest, options: PeersOptions): Record<string, string> {
  const signature = options.signature?.sign('GET', peerRequest.path, options.clock.nowMs());
  return {
    accept: 'application/json',
    'x-iq-forwarded': '1',
    'x-correlation-id': peerRequest.correlationId,
    ...(peerRequest.minPosition === undefined ? {} : { 'x-min-position': peerRequest.minPosition }),
    ...(signature === undefined ? {} : { 'x-iq-signature': signature }),
  };
}

function receive(sent: ClientRequest): Promise<PeerResponse> {
  return new Promise((resolve, reject) => {
    sent.on('error', reject);
    sent.on('response', (response) => {
      readBody(response).then(
        (body) =>
          resolve({
            status: response.statusCode ?? 0,
            position: headerOf(response, 'x-position'),
            servedBy: headerOf(response, 'x-served-by'),
            staleness: parseStaleness(headerOf(response, 'x-stale'), headerOf(response, 'x-stale-lag')),
            body,
          }),
        (error: unknown) => {
          sent.destroy();
          reject(error instanceof Error ? error : new Error(String(error)));
        },
      );
    });
    sent.end();
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

function headerOf(response: IncomingMessage, name: string): string {
  const value = response.headers[name];
  return typeof value === 'string' ? value : '';
}
