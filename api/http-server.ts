/** Fastify with every limit set, and with every refusal, down to broken bytes on a socket, as a problem. */
import { randomUUID } from 'node:crypto';
import { STATUS_CODES, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import {
  LogController,
  fastify,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify';
import type { Logger } from '../clock.ts';
import { limits } from './limits.ts';
import { Problem, problemBody, toProblem } from './problem.ts';

const correlationPattern = /^[A-Za-z0-9._-]{1,64}$/;

/** The client's correlation id if it is one, else a new one. */
function correlationOf(request: { readonly headers: IncomingMessage['headers'] }): string {
  const given = request.headers['x-correlation-id'];
  return typeof given === 'string' && correlationPattern.test(given) ? given : randomUUID();
}

/** What a browser, a proxy and a cache should not do with an answer of an API. */
const securityHeaders = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'strict-transport-security': 'max-age=15552000; includeSubDomains',
  'cache-control': 'no-store',
};

/** A server without routes. */
export function createHttpServer(logger: Logger): FastifyInstance {
  const app = fastify({
    http: {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersTimeoutMs,
      connectionsCheckingInterval: 1_000,
    },
    bodyLimit: limits.bodyBytes,
    requestTimeout: limits.requestTimeoutMs,
    connectionTimeout: limits.idleSocketMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    maxRequestsPerSocket: limits.requestsPerSocket,
    handlerTimeout: limits.handlerTimeoutMs,
    forceCloseConnections: 'idle',
    onProtoPoisoning: 'error',
    onConstructorPoisoning: 'error',
    requestIdHeader: false,
    genReqId: correlationOf,
    logController: new LogController({ disableRequestLogging: true }),
    // Only the headers bound a key; a long one gets an answer of its own.
    routerOptions: { maxParamLength: limits.headerBytes },
    // Nothing is coerced, dropped or filled in: what does not fit is refused.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false, allErrors: false } },
    frameworkErrors: (error, request, reply) => {
      prepareReply(request, reply);
      sendProblem(error, request, reply, logger);
    },
    clientErrorHandler: refuseSocket,
  });
  app.server.maxConnections = limits.connections;
  app.removeContentTypeParser('text/plain');
  app.addHook('onRequest', async (request, reply) => prepareReply(request, reply));
  app.setErrorHandler((error, request, reply) => sendProblem(error, request, reply, logger));
  return app;
}

function prepareReply(request: FastifyRequest, reply: FastifyReply): void {
  void reply.headers(securityHeaders).header('x-correlation-id', request.id);
}

/** Answers with the problem that `error` is; what nobody foresaw is logged with its stack, and only there. */
export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply, logger: Logger): void {
  const problem = toProblem(error);
  if (problem.status === 500)
    logger.error('request failed', { error, correlationId: request.id, route: request.routeOptions.url });
  void reply
    .code(problem.status)
    .headers(problem.headers)
    .header('cache-control', 'no-store')
    .type('application/problem+json; charset=utf-8')
    .send(JSON.stringify(problemBody(problem, request.url, request.id)));
}

const socketProblems: Readonly<Record<string, Problem>> = {
  HPE_HEADER_OVERFLOW: new Problem(431, 'headers_too_large', 'the request line and headers are too large'),
  ERR_HTTP_REQUEST_TIMEOUT: new Problem(408, 'request_timeout', 'the request did not arrive in time'),
};

/** Called for requests that never become one: answered by hand, and the connection ends. */
function refuseSocket(error: FastifyError | NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const problem =
    socketProblems[error.code ?? ''] ?? new Problem(400, 'request_malformed', 'this is not an HTTP request');
  const correlationId = randomUUID();
  const body = JSON.stringify(problemBody(problem, '', correlationId));
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ''}`,
    'content-type: application/problem+json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-correlation-id: ${correlationId}`,
    'connection: close',
  ];
  if (socket.writable) socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
  socket.destroySoon();
}
