// The parts of kafkajs that are used: its connection (TCP, TLS, SASL, framing). Pinned exactly, see package.json.

declare module 'kafkajs/src/network/connection.js' {
  export interface ConnectionLogger {
    namespace(name: string): ConnectionLogger;
    debug(message: string, extra?: Record<string, unknown>): void;
    info(message: string, extra?: Record<string, unknown>): void;
    warn(message: string, extra?: Record<string, unknown>): void;
    error(message: string, extra?: Record<string, unknown>): void;
  }

  export interface ConnectionSocket {
    write(bytes: Uint8Array): boolean;
    cork(): void;
    uncork(): void;
    destroy(): void;
    setNoDelay(on: boolean): void;
  }

  export interface ResponseFrame {
    readonly correlationId: number;
    readonly payload: Buffer;
    readonly size: number;
  }

  export interface RequestEntry {
    readonly apiName: string;
    readonly correlationId: number;
    readonly resolve: (frame: ResponseFrame & { readonly entry: RequestEntry }) => void;
    readonly reject: (error: Error) => void;
  }

  export interface PushedRequest {
    readonly entry: RequestEntry;
    readonly requestTimeout?: number | null;
    readonly sendRequest: () => void;
  }

  /** What a connection keeps unanswered requests in; may be replaced before it connects. */
  export interface RequestQueue {
    push(request: PushedRequest): void;
    fulfillRequest(frame: ResponseFrame): void;
    rejectAll(error: Error): void;
    waitForPendingRequests(): Promise<void>;
    scheduleRequestTimeoutCheck(): void;
    maybeThrottle(ms: number | null): void;
    destroy(): void;
  }

  export interface ConnectionOptions {
    readonly host: string;
    readonly port: number;
    readonly logger: ConnectionLogger;
    readonly socketFactory: unknown;
    readonly requestTimeout: number;
    readonly connectionTimeout: number;
    readonly clientId: string;
    readonly ssl: unknown;
    readonly sasl: unknown;
  }

  export type VersionRanges = Record<number, { readonly minVersion: number; readonly maxVersion: number }>;

  // eslint-disable-next-line no-restricted-syntax -- this is how a CommonJS module is seen
  export default class Connection {
    constructor(options: ConnectionOptions);
    requestQueue: RequestQueue;
    readonly socket: ConnectionSocket | undefined;
    connect(): Promise<boolean>;
    disconnect(): Promise<boolean>;
    authenticate(): Promise<void>;
    isConnected(): boolean;
    isAuthenticated(): boolean;
    nextCorrelationId(): number;
    setVersions(versions: VersionRanges): void;
    setSupportAuthenticationProtocol(isSupported: boolean): void;
    rejectRequests(error: Error): void;
  }
}

declare module 'kafkajs/src/network/socketFactory.js' {
  // eslint-disable-next-line no-restricted-syntax -- this is how a CommonJS module is seen
  export default function socketFactory(): unknown;
}
