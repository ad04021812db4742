/** Reads what another instance answered, trusting nothing about it. */
import { StreamError } from '../errors.ts';
import type { PeerResponse } from './peers.ts';
import { unavailable } from './problem.ts';

type JsonObject = Readonly<Record<string, unknown>>;

/** Throws `PEER_UNAVAILABLE` unless `text` is a JSON object. */
export function objectOf(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new StreamError('PEER_UNAVAILABLE', 'the answer of the owner is not JSON', { cause });
  }
  if (!isObject(value)) malformed();
  return value;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function stringOf(value: unknown): string {
  return typeof value === 'string' ? value : malformed();
}

export function malformed(): never {
  throw new StreamError('PEER_UNAVAILABLE', 'the answer of the owner has another form than expected');
}

/** What an answer other than 200 means for the query: absent, worth another try, or this very problem for the client. */
export function refusalOf(answer: PeerResponse): 'key_not_found' | Error {
  const { code } = objectOf(answer.body);
  if (answer.status === 404 && code === 'key_not_found') return 'key_not_found';
  if (answer.status === 421 || (answer.status === 503 && code === 'store_not_ready'))
    return new StreamError('STORE_NOT_READY', 'the owner does not have the partition now');
  if (answer.status === 503 && code === 'position_not_reached')
    return unavailable('position_not_reached', 'the store does not reflect X-Min-Position yet');
  if (answer.status === 400) return new StreamError('QUERY_INVALID', 'the owner refuses the query');
  return new StreamError('PEER_UNAVAILABLE', 'the owner answers with an error', {
    facts: { status: answer.status, code: typeof code === 'string' ? code.slice(0, 64) : undefined },
  });
}
