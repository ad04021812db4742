/** A server that speaks just enough of Kafka's protocol to misbehave on purpose. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { apis, type Api } from '../../../connectors/kafka/apis.ts';
import { WireReader, WireWriter } from '../../../connectors/kafka/wire.ts';

type Answer = (writer: WireWriter) => void;
/** `close` ends the connection instead of answering, `cut` does so within the answer, `silence` never answers. */
export type Reaction = Answer | 'close' | 'cut' | 'silence';
export type Handler = (request: WireReader, version: number) => Reaction;

export interface SeenRequest {
  readonly api: string;
  readonly body: Buffer;
}

const versionsOf = (offered: readonly Api[]): Answer => {
  return (writer) => {
    writer.int16(0);
    writer.array(offered, ({ key, min, max }) => {
      writer.int16(key);
      writer.int16(min);
      writer.int16(max);
    });
    writer.int32(0);
  };
};

export class FakeBroker {
  readonly nodeId: number;
  readonly seen: SeenRequest[] = [];
  readonly #handlers = new Map<number, Handler>();
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  port = 0;

  private constructor(nodeId: number) {
    this.nodeId = nodeId;
    this.on(apis.apiVersions, () => versionsOf(Object.values(apis)));
  }

  static async start(nodeId = 1): Promise<FakeBroker> {
    const broker = new FakeBroker(nodeId);
    const server = createServer((socket) => {
      broker.#serve(socket);
    });
    broker.#server = server;
    await once(server.listen(0, '127.0.0.1'), 'listening');
    broker.port = (server.address() as AddressInfo).port;
    return broker;
  }

  get address(): string {
    return `127.0.0.1:${String(this.port)}`;
  }

  on(api: Api, handler: Handler): void {
    this.#handlers.set(api.key, handler);
  }

  /** The reactions one after the other, the last one for ever. */
  onEach(api: Api, ...reactions: readonly [Reaction, ...Reaction[]]): void {
    let index = 0;
    this.on(api, () => {
      const reaction = reactions[Math.min(index, reactions.length - 1)]!;
      index += 1;
      return reaction;
    });
  }

  offerOnly(...offered: readonly Api[]): void {
    this.on(apis.apiVersions, () => versionsOf(offered));
  }

  /** A cluster of these brokers, all of them coordinators in turn of whoever asks, with one topic. */
  lead(topic: string, leaders: readonly FakeBroker[], epoch = 0): void {
    this.on(apis.metadata, () => metadata(topic, leaders, epoch));
    this.on(apis.findCoordinator, () => coordinator(leaders[0]!));
  }

  seenOf(api: Api): readonly Buffer[] {
    return this.seen.filter((request) => request.api === api.name).map(({ body }) => body);
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server?.close();
    if (this.#server !== undefined) await once(this.#server, 'close');
  }

  #serve(socket: Socket): void {
    let pending = Buffer.alloc(0);
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('data', (chunk) => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 4 && pending.length >= 4 + pending.readInt32BE(0)) {
        const size = pending.readInt32BE(0);
        this.#react(socket, pending.subarray(4, 4 + size));
        pending = pending.subarray(4 + size);
      }
    });
  }

  #react(socket: Socket, frame: Buffer): void {
    const key = frame.readInt16BE(0);
    const version = frame.readInt16BE(2);
    const api = Object.values(apis).find((known) => known.key === key)!;
    const isFlexible = version >= api.flexibleFrom;
    const headerBytes = 10 + frame.readInt16BE(8) + (isFlexible ? 1 : 0);
    const body = frame.subarray(headerBytes);
    this.seen.push({ api: api.name, body: Buffer.from(body) });
    const reaction = this.#handlers.get(key)?.(new WireReader(body, isFlexible), version) ?? 'silence';
    if (reaction === 'silence') return;
    if (reaction === 'close') {
      socket.destroy();
      return;
    }
    const writer = new WireWriter(isFlexible);
    writer.int32(frame.readInt32BE(4));
    writer.tags();
    if (typeof reaction === 'function') reaction(writer);
    else writer.bytes(Buffer.alloc(100));
    const answer = Buffer.concat(writer.finish());
    if (reaction === 'cut') socket.end(answer.subarray(0, answer.length / 2));
    else socket.write(answer);
  }
}

function metadata(topic: string, leaders: readonly FakeBroker[], epoch: number): Answer {
  const brokers = [...new Set(leaders)];
  return (writer) => {
    writer.int32(0);
    writer.array(brokers, ({ nodeId, port }) => {
      writer.int32(nodeId);
      writer.string('127.0.0.1');
      writer.int32(port);
      writer.nullableString(undefined);
      writer.tags();
    });
    writer.nullableString('fake');
    writer.int32(brokers[0]!.nodeId);
    writer.array([topic], (name) => {
      writer.int16(0);
      writer.string(name);
      // The topic's identifier.
      writer.int64(1);
      writer.int64(1);
      writer.boolean(false);
      writer.array([...leaders.entries()], ([partition, { nodeId }]) => {
        writer.int16(0);
        writer.int32(partition);
        writer.int32(nodeId);
        writer.int32(epoch);
        for (let list = 0; list < 3; list++)
          writer.array([nodeId], (id) => {
            writer.int32(id);
          });
        writer.tags();
      });
      writer.int32(0);
      writer.tags();
    });
    writer.int32(0);
    writer.tags();
  };
}

function coordinator({ nodeId, port }: FakeBroker): Answer {
  return (writer) => {
    writer.int32(0);
    writer.int16(0);
    writer.nullableString(undefined);
    writer.int32(nodeId);
    writer.string('127.0.0.1');
    writer.int32(port);
  };
}

/** An answer of a throttle time and an error code, as many are. */
export function code(error: number): Answer {
  return (writer) => {
    writer.int32(0);
    writer.int16(error);
  };
}

export function producerId(id: bigint): Answer {
  return (writer) => {
    writer.int32(0);
    writer.int16(0);
    writer.bigint64(id);
    writer.int16(0);
  };
}

/** The answer to AddPartitionsToTxn about one partition. */
export function added(topic: string, error: number): Answer {
  return (writer) => {
    writer.int32(0);
    writer.array([topic], (name) => {
      writer.string(name);
      writer.array([error], (errorCode) => {
        writer.int32(0);
        writer.int16(errorCode);
      });
    });
  };
}

/** The answer to Produce, with an error code and a base offset for each partition. */
export function produced(
  topic: string,
  results: readonly (readonly [partition: number, error: number, offset: number])[],
): Answer {
  return (writer) => {
    writer.array([topic], (name) => {
      writer.string(name);
      writer.array(results, ([partition, error, offset]) => {
        writer.int32(partition);
        writer.int16(error);
        writer.int64(offset);
        writer.int64(-1);
        writer.int64(0);
        writer.array([], () => undefined);
        writer.nullableString(undefined);
      });
    });
    writer.int32(0);
  };
}

/** The answer to Fetch about partition 0. */
export function fetched(
  topic: string,
  records: Uint8Array,
  options: { readonly error?: number; readonly end?: number } = {},
): Answer {
  return (writer) => {
    writer.int32(0);
    writer.int16(0);
    writer.int32(0);
    writer.array([topic], (name) => {
      writer.string(name);
      writer.array([records], (bytes) => {
        writer.int32(0);
        writer.int16(options.error ?? 0);
        writer.int64(options.end ?? 100);
        writer.int64(options.end ?? 100);
        writer.int64(0);
        writer.array([], () => undefined);
        writer.int32(-1);
        writer.bytes(bytes);
      });
    });
  };
}
