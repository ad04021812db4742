/** Customers as the system before answers them, over HTTP. */
import { hasCode, type HttpSource } from '../../index.ts';
import { isObject } from '../../schemas/app/reader.ts';

/** For the whole answer: whoever asked us is waiting. */
export const legacyAnswerMs = 2_000;

/** `undefined` if the system knows no such customer; rejects as the HTTP source does. */
export async function findLegacyCustomer(
  http: HttpSource,
  baseUrl: string,
  email: string,
): Promise<object | undefined> {
  const url = `${baseUrl.replace(/\/+$/, '')}/${encodeURIComponent(email)}`;
  try {
    const { body } = await http.get(url, { signal: new AbortController().signal });
    return isObject(body) ? body : undefined;
  } catch (error) {
    if (hasCode(error, 'DEPENDENCY_REFUSED') && error.facts['status'] === 404) return undefined;
    throw error;
  }
}
