/** One connection to one broker: kafkajs opens and authenticates it, requests and answers are our own. */
import Connection, {
  type ConnectionLogger,
  type ResponseFrame,
  type VersionRanges,
} from 'kafkajs/src/network/connection.js';
import createSocketFactory from 'kafkajs/src/network/socketFactory.js';
import { StreamError } from '../../errors.ts';
import type { Clock, Logger } from '../../clock.ts';
import { apis, type Api } from './apis.ts';
import { InFlight } from './in-flight.ts';
import { connectionError, isUnanswered, timeoutError } from './kafka-errors.ts';
import { WireReader, WireWriter } from './wire.ts';

/** How to reach and convince a broker. `ssl` and `sasl` take what kafkajs takes. */
export interface ConnectionSettings {
  readonly clientId: string;
  readonly ssl?: boolean | Readonly<Record<string, unknown>>;
  readonly sasl?: Readonly<Record<string, unknown>> & { readonly mechanism: string };
  readonly requestTimeoutMs: number;
  readonly connectTimeoutMs: number;
}

export interface ConnectionDeps {
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface Request<T> {
  readonly api: Api;
  readonly encode: (writer: WireWriter, version: number) => void;
  readonly decode: (reader: WireReader, version: number) => T;
  /** Where it is not the usual one: for calls that the broker holds back on purpose, or that are of no use later. */
  readonly timeoutMs?: number;
}

const certificateErrors = /^(CERT_|ERR_TLS_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_(GET|VERIFY)|ERR_SSL|HOSTNAME_MISMATCH)/;

function kafkajsLogger(logger: Logger): ConnectionLogger {
  const log = (message: string, extra?: Record<string, unknown>): void => {
    logger.debug('kafka connection', { event: message, broker: extra?.['broker'] });
  };
  const result: ConnectionLogger = {
    namespace: () => result,
    debug: () => undefined,
    info: log,
    warn: log,
    error: log,
  };
  return result;
}

/** A failure to connect as the port knows it: what no retry can mend is refused. */
function translate(error: unknown, broker: string): StreamError {
  if (error instanceof StreamError) return error;
  const { name, code, type } = error as { readonly name?: string; readonly code?: unknown; readonly type?: unknown };
  const facts = { broker };
  if (name === 'KafkaJSSASLAuthenticationError' || (typeof type === 'string' && type.includes('SASL')))
    return new StreamError('LOG_REFUSED', 'the broker refused the credentials', { facts, cause: error });
  if (typeof code === 'string' && certificateErrors.test(code))
    return new StreamError('LOG_REFUSED', 'the TLS connection to the broker was refused', {
      facts: { broker, code },
      cause: error,
    });
  return connectionError('the connection to the broker failed', { facts, cause: error });
}

export class KafkaConnection {
  readonly broker: string;
  readonly #connection: Connection;
  readonly #settings: ConnectionSettings;
  #versions: VersionRanges = {};
  #isClosed = false;

  private constructor(address: string, settings: ConnectionSettings, deps: ConnectionDeps) {
    const { host, port } = parseAddress(address);
    this.broker = address;
    this.#settings = settings;
    this.#connection = new Connection({
      host,
      port,
      logger: kafkajsLogger(deps.logger),
      socketFactory: createSocketFactory(),
      requestTimeout: settings.requestTimeoutMs,
      connectionTimeout: settings.connectTimeoutMs,
      clientId: settings.clientId,
      ssl: settings.ssl === false ? undefined : settings.ssl,
      // kafkajs keeps its authenticator in this object.
      sasl: settings.sasl === undefined ? undefined : { ...settings.sasl },
    });
    this.#connection.requestQueue = new InFlight({
      clock: deps.clock,
      broker: address,
      requestTimeoutMs: settings.requestTimeoutMs,
      onTimeout: (error) => {
        this.close(error);
      },
    });
  }

  /** Connects and authenticates. Rejects with `LOG_UNAVAILABLE` or `LOG_REFUSED`. */
  static async open(address: string, settings: ConnectionSettings, deps: ConnectionDeps): Promise<KafkaConnection> {
    const connection = new KafkaConnection(address, settings, deps);
    // Some ways of failing never settle kafkajs's promises.
    let expire: (error: Error) => void = () => undefined;
    const expired = new Promise<never>((_, reject) => {
      expire = reject;
    });
    const timer = deps.clock.timer(settings.connectTimeoutMs, () => {
      expire(timeoutError('the broker does not accept connections', { broker: address }));
    });
    try {
      await Promise.race([connection.#establish(), expired]);
      return connection;
    } catch (error) {
      connection.close();
      throw translate(error, address);
    } finally {
      timer.cancel();
    }
  }

  get isOpen(): boolean {
    return !this.#isClosed && this.#connection.isConnected();
  }

  /** Rejects with `LOG_UNAVAILABLE` (an answer may have been lost) or what `decode` throws. */
  async request<T>(request: Request<T>): Promise<T> {
    const { api } = request;
    const version = this.#versionOf(api);
    try {
      if (api !== apis.apiVersions) await this.#authenticate();
      const { payload } = await this.#exchange(request, version);
      return this.#read(request, payload, version);
    } catch (error) {
      if (!(error instanceof StreamError) || isUnanswered(error)) this.close();
      throw translate(error, this.broker);
    }
  }

  /** Rejects what is unanswered. Idempotent. */
  close(error: Error = connectionError('the connection was closed', { facts: { broker: this.broker } })): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#connection.rejectRequests(error);
    const { socket } = this.#connection;
    void this.#connection.disconnect().finally(() => {
      socket?.destroy();
    });
  }

  async #establish(): Promise<void> {
    await this.#connection.connect();
    this.#connection.socket?.setNoDelay(true);
    this.#versions = await this.request({
      api: apis.apiVersions,
      encode: () => undefined,
      decode: (reader) => {
        const code = reader.int16();
        if (code !== 0)
          throw new StreamError('LOG_REFUSED', 'the broker does not tell its versions', { facts: { code } });
        const ranges = reader.array(() => ({
          key: reader.int16(),
          minVersion: reader.int16(),
          maxVersion: reader.int16(),
        }));
        return Object.fromEntries(ranges.map(({ key, ...range }) => [key, range]));
      },
    });
    this.#connection.setVersions(this.#versions);
    this.#connection.setSupportAuthenticationProtocol(true);
    await this.#authenticate();
  }

  /** A session may expire: then a request begins with a new one. */
  async #authenticate(): Promise<void> {
    if (this.#settings.sasl !== undefined && !this.#connection.isAuthenticated()) await this.#connection.authenticate();
  }

  #versionOf(api: Api): number {
    if (api === apis.apiVersions) return api.max;
    const range = this.#versions[api.key] ?? { minVersion: -1, maxVersion: -1 };
    const version = Math.min(api.max, range.maxVersion);
    if (version < api.min || version < range.minVersion)
      throw new StreamError(
        'LOG_REFUSED',
        `the broker does not support ${api.name} as needed: Kafka 2.5 or later is required`,
        {
          facts: { broker: this.broker, api: api.name, needed: api.min, offered: range.maxVersion },
        },
      );
    return version;
  }

  #exchange<T>({ api, encode, timeoutMs }: Request<T>, version: number): Promise<ResponseFrame> {
    if (!this.isOpen) throw connectionError('the connection is closed', { facts: { broker: this.broker } });
    const correlationId = this.#connection.nextCorrelationId();
    const isFlexible = version >= api.flexibleFrom;
    const writer = new WireWriter(isFlexible);
    writer.int16(api.key);
    writer.int16(version);
    writer.int32(correlationId);
    writer.clientId(this.#settings.clientId);
    writer.tags();
    encode(writer, version);
    const chunks = writer.finish();
    return new Promise((resolve, reject) => {
      this.#connection.requestQueue.push({
        entry: { apiName: api.name, correlationId, resolve, reject },
        requestTimeout: timeoutMs ?? null,
        sendRequest: () => {
          this.#send(chunks);
        },
      });
    });
  }

  #send(chunks: readonly Buffer[]): void {
    const { socket } = this.#connection;
    socket?.cork();
    for (const chunk of chunks) socket?.write(chunk);
    socket?.uncork();
  }

  #read<T>({ api, decode }: Request<T>, payload: Buffer, version: number): T {
    const reader = new WireReader(payload, version >= api.flexibleFrom);
    try {
      reader.tags();
      return decode(reader, version);
    } catch (error) {
      if (error instanceof StreamError) throw error;
      throw connectionError(`the answer to ${api.name} cannot be read`, {
        facts: { broker: this.broker, version },
        cause: error,
      });
    }
  }
}

function parseAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  const port = Number(address.slice(colon + 1));
  if (colon < 1 || !Number.isInteger(port) || port < 1 || port > 65_535)
    throw new StreamError('CONFIG_INVALID', 'a broker address must be host:port', { facts: { address } });
  return { host, port };
}
