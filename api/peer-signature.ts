/** Instances prove to each other that they hold the same `API_TOKEN`, without sending it: a signature over the request and the time. */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { limits } from './limits.ts';

export interface PeerSignature {
  /** The value of `X-IQ-Signature`. */
  sign(method: string, url: string, nowMs: number): string;
  /** Whether an instance with the same token made it for this request, lately. */
  verify(header: string, method: string, url: string, nowMs: number): boolean;
}

/** The key is derived, so that a signature says nothing about the token as a bearer token. */
export function createPeerSignature(token: string): PeerSignature {
  const key = createHash('sha256').update(`rivulet peer\n${token}`).digest();
  const macOf = (method: string, url: string, timeMs: number): Buffer =>
    createHmac('sha256', key).update(`${timeMs}\n${method}\n${url}`).digest();
  return {
    sign: (method, url, nowMs) => `t=${nowMs},v1=${macOf(method, url, nowMs).toString('base64url')}`,
    verify: (header, method, url, nowMs) => {
      const [, time, mac] = /^t=(\d{1,15}),v1=([\w-]{43})$/.exec(header) ?? [];
      if (time === undefined || mac === undefined) return false;
      if (Math.abs(nowMs - Number(time)) > limits.peerClockSkewMs) return false;
      return timingSafeEqual(Buffer.from(mac, 'base64url'), macOf(method, url, Number(time)));
    },
  };
}
