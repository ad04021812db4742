/** What the API answers when it cannot answer: `application/problem+json` (RFC 9457) with stable codes. */
import { StreamError, type ErrorCode } from '../errors.ts';
import { limits } from './limits.ts';

/** The problem as clients see it. */
export interface ProblemBody {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly instance: string;
  readonly correlationId: string;
}

/**
 * Ends a request with a problem. `code` is part of the API: lower case, never reused for something else.
 * `detail` is for people; it never quotes a value of a record, a path or a stack.
 */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly status: number;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, code: string, detail: string, headers: Readonly<Record<string, string>> = {}) {
    super(detail);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

const titles: Readonly<Record<number, string>> = {
  400: 'Bad request',
  401: 'Not authenticated',
  403: 'Not allowed',
  404: 'Not found',
  405: 'Method not allowed',
  408: 'Request timeout',
  409: 'Conflict',
  412: 'Precondition failed',
  413: 'Request too large',
  414: 'URI too long',
  415: 'Unsupported media type',
  421: 'Misdirected request',
  422: 'Not possible',
  428: 'Precondition required',
  429: 'Too many requests',
  431: 'Headers too large',
  500: 'Internal error',
  501: 'Not implemented',
  503: 'Not available now',
};

export const titleOf = (status: number): string => titles[status] ?? (status < 500 ? titles[400] : titles[500]) ?? '';

const retryLater = { 'retry-after': String(limits.retryAfterSeconds) };

/** A 503 that says when to come back. */
export const unavailable = (code: string, detail: string): Problem => new Problem(503, code, detail, retryLater);

/** Another instance is asked, and says that it does not own the key either. */
export const misdirected = (): Problem =>
  new Problem(421, 'misdirected', 'this instance does not own the key, and a forwarded request is not forwarded again');

/** How errors of the engine that may reach a client look there; every other is a 500. */
const streamProblems: Partial<Record<ErrorCode, (error: StreamError) => Problem>> = {
  QUERY_INVALID: (error) => new Problem(400, 'query_invalid', error.message),
  STORE_UNKNOWN: () => new Problem(404, 'store_unknown', 'no store of this name can be queried here'),
  STORE_NOT_READY: () => unavailable('store_not_ready', 'the store is being restored or moved; try again'),
  STORE_NOT_OPEN: () => unavailable('store_not_ready', 'the store is being restored or moved; try again'),
  TASK_MIGRATED: () => unavailable('store_not_ready', 'the store is being restored or moved; try again'),
  PEER_UNAVAILABLE: () => unavailable('peer_unavailable', 'the instance that owns the key does not answer'),
  QUERY_TIMEOUT: () => unavailable('query_timeout', 'the query took too long'),
  DEAD_LETTER_UNKNOWN: (error) => new Problem(404, 'dead_letter_unknown', error.message),
  DEAD_LETTER_DECIDED: (error) => new Problem(409, 'dead_letter_decided', error.message),
  LOG_UNAVAILABLE: () => unavailable('log_unavailable', 'the log does not answer'),
};

/** What Fastify refuses by itself, by its error code. */
const frameworkProblems: Readonly<Record<string, readonly [number, string, string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: [413, 'body_too_large', `a body may have ${limits.bodyBytes} bytes`],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [415, 'media_type_unsupported', 'a body must be application/json'],
  FST_ERR_CTP_EMPTY_JSON_BODY: [400, 'body_invalid', 'the body is empty'],
  FST_ERR_CTP_INVALID_JSON_BODY: [400, 'body_invalid', 'the body is not valid JSON'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: [400, 'body_invalid', 'the length of the body is not the one announced'],
  FST_ERR_BAD_URL: [400, 'url_invalid', 'the URL is not valid'],
  FST_ERR_HANDLER_TIMEOUT: [503, 'query_timeout', 'the query took too long'],
};

interface FrameworkError {
  readonly code?: unknown;
  readonly statusCode?: unknown;
  readonly validation?: unknown;
  readonly message: string;
}

/** The problem for whatever was thrown. Unknown errors become a bare 500. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof StreamError) return streamProblems[error.code]?.(error) ?? internalError();
  if (!(error instanceof Error)) return internalError();
  return fromFramework(error);
}

function fromFramework(error: FrameworkError): Problem {
  if (error.validation !== undefined) return new Problem(400, 'request_invalid', error.message.slice(0, 300));
  const known = typeof error.code === 'string' ? frameworkProblems[error.code] : undefined;
  if (known !== undefined) {
    const [status, code, detail] = known;
    return status === 503 ? unavailable(code, detail) : new Problem(status, code, detail);
  }
  // Refused by the body parser: not JSON, or JSON with a forbidden property name.
  if (error.statusCode === 400) return new Problem(400, 'body_invalid', 'the body is not valid JSON');
  return internalError();
}

function internalError(): Problem {
  return new Problem(500, 'internal', 'something went wrong here; the correlation id finds it in the log');
}

/** The body for one request. `url` is cut at its query: queries may hold keys. */
export function problemBody(problem: Problem, url: string, correlationId: string): ProblemBody {
  return {
    type: `urn:rivulet:problem:${problem.code}`,
    title: titleOf(problem.status),
    status: problem.status,
    detail: problem.message,
    code: problem.code,
    instance: (url.split('?', 1)[0] ?? '').slice(0, 300),
    correlationId,
  };
}
