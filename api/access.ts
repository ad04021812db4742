/** Who may ask: bearer tokens compared in constant time, and signatures of other instances. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import { StreamError } from '../errors.ts';
import type { PeerSignature } from './peer-signature.ts';
import { Problem } from './problem.ts';

/** What a route asks for: nothing, to be a user of the API, to be an administrator. */
export type Access = 'open' | 'reader' | 'admin';

export type Role = 'anonymous' | 'reader' | 'admin' | 'peer';

export interface Credentials {
  readonly authorization: string | undefined;
  readonly peerSignature: string | undefined;
  readonly method: string;
  readonly url: string;
}

export interface AccessControl {
  roleOf(credentials: Credentials, nowMs: number): Role;
  /** Throws 401 or 403 unless `role` may use a route. */
  check(role: Role, access: Access): void;
}

export interface AccessOptions {
  readonly apiToken: string | undefined;
  readonly adminToken: string | undefined;
  readonly signature: PeerSignature | undefined;
}

/** With no token at all everything is open; without an admin token the API token opens everything. */
export function createAccessControl(options: AccessOptions): AccessControl {
  const reader = digestOf(options.apiToken);
  const admin = digestOf(options.adminToken);
  // A route without a credential of its own is open to whoever gets in.
  const needed: Readonly<Record<Access, readonly Role[]>> = {
    open: [],
    reader: reader === undefined ? [] : ['reader', 'admin', 'peer'],
    admin: admin === undefined ? (reader === undefined ? [] : ['reader']) : ['admin'],
  };
  return {
    roleOf: ({ authorization, peerSignature, method, url }, nowMs) => {
      if (peerSignature !== undefined && options.signature?.verify(peerSignature, method, url, nowMs) === true)
        return 'peer';
      const [, token] = /^bearer ([\w.~+/=-]{1,1024})$/i.exec(authorization ?? '') ?? [];
      const digest = digestOf(token);
      // Both are compared, whatever the first says.
      const isAdmin = isSame(digest, admin);
      const isReader = isSame(digest, reader);
      return isAdmin ? 'admin' : isReader ? 'reader' : 'anonymous';
    },
    check: (role, access) => {
      if (needed[access].length === 0 || needed[access].includes(role)) return;
      if (role === 'anonymous')
        throw new Problem(401, 'unauthenticated', 'a valid bearer token is required', { 'www-authenticate': 'Bearer' });
      throw new Problem(403, 'forbidden', 'this token does not open this route');
    },
  };
}

function digestOf(token: string | undefined): Buffer | undefined {
  return token === undefined ? undefined : createHash('sha256').update(token).digest();
}

function isSame(a: Buffer | undefined, b: Buffer | undefined): boolean {
  return a !== undefined && b !== undefined && timingSafeEqual(a, b);
}

/** Whether only this machine can reach a server that listens there. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** Refuses to serve the whole network without a token, unless told so. Throws `CONFIG_INVALID`. */
export function checkExposure(
  host: string,
  options: { readonly apiToken: string | undefined; readonly allowInsecure: boolean },
): void {
  if (isLoopback(host) || options.apiToken !== undefined || options.allowInsecure) return;
  throw new StreamError(
    'CONFIG_INVALID',
    'HOST is not a loopback address: set API_TOKEN, or ALLOW_INSECURE=true to serve everybody',
  );
}
