/** Tells system B's API what was merged, unless the customer there says by now what the merge does not know. */
import { StreamError, hasCode, type HttpSource } from '../../index.ts';
import {
  changesOf,
  type FindRow,
  type WriteBack,
  type WriteBackOutcome,
} from '../../processors/app/customer/write-back.ts';
import { isObject } from '../../schemas/app/reader.ts';

export interface WritableB {
  readonly http: HttpSource;
  /** Of the API; `/customers/{uuid}` is appended. */
  readonly baseUrl: string;
  readonly signal: AbortSignal;
}

/** What an answer says, beside what is refused. */
const outcomes: Readonly<Record<number, WriteBackOutcome>> = { 404: 'missing', 410: 'missing', 412: 'skipped' };

/**
 * The customer is compared as its entity tag names it, and changed only while that names it; `find` is asked in between. Rejects with `DEPENDENCY_UNAVAILABLE` if the system is
 * away, and with `DEPENDENCY_REFUSED` for what it does not accept, or if it gives no strong tag.
 */
export async function writeBackToB(
  { http, baseUrl, signal }: WritableB,
  writeBack: WriteBack,
  find: FindRow,
): Promise<WriteBackOutcome> {
  const url = `${baseUrl.replace(/\/+$/, '')}/customers/${encodeURIComponent(writeBack.id)}`;
  try {
    const { body, etag } = await http.get(url, { signal });
    if (!isObject(body)) throw new StreamError('DEPENDENCY_REFUSED', 'the answer is no customer');
    const wanted = await changesOf(writeBack, body, find);
    if (typeof wanted === 'string') return wanted;
    if (etag?.startsWith('"') !== true)
      throw new StreamError('DEPENDENCY_REFUSED', 'the system names no version of a customer by a strong entity tag');
    await http.patch(url, { signal, etag, body: wanted });
    return 'written';
  } catch (error) {
    const outcome = outcomes[statusOf(error) ?? 0];
    if (outcome === undefined) throw error;
    return outcome;
  }
}

/** Whether the system refuses these values, rather than who sends them. */
export function refusesCustomer(error: unknown): boolean {
  return [400, 409, 422].includes(statusOf(error) ?? 0);
}

function statusOf(error: unknown): number | undefined {
  if (!hasCode(error, 'DEPENDENCY_REFUSED')) return undefined;
  const { status } = error.facts;
  return typeof status === 'number' ? status : undefined;
}
