/** Logical replication over a connection of `pg`: messages in order, and acknowledgements of what is durable elsewhere. */
import pg from 'pg';
import { StreamError } from '../../errors.ts';
import { readMessage, type ReplicationMessage } from './pgoutput.ts';

/** Beyond so many bytes that wait to be taken nothing more is read from the socket, until half of them are. */
const waitingBytesMax = 8 * 1024 * 1024;
const dataHeaderBytes = 25;
const keepaliveBytes = 18;

/** What `pg` keeps in its connection beyond its types. */
interface CopyConnection {
  on(event: 'copyData', listen: (message: { readonly chunk: Buffer }) => void): void;
  sendCopyFromChunk(chunk: Buffer): void;
  readonly stream: { pause(): void; resume(): void };
}

export interface PositionedMessage {
  /** Of the change in the log of the database. */
  readonly lsn: bigint;
  readonly message: ReplicationMessage;
  readonly bytes: number;
}

/** So that texts do not depend on how the server is set up. */
const options = '-c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=1';

/** A client whose answers are texts of one form; with `replication` it takes replication commands beside plain SQL. */
export function captureClient(connectionString: string, replication?: 'database'): pg.Client {
  const config = { connectionString, options, keepAlive: true, ...(replication === undefined ? {} : { replication }) };
  const client = new pg.Client(config);
  // What breaks while nothing is asked is met by the next question.
  client.on('error', () => undefined);
  return client;
}

export class ReplicationStream {
  readonly #client: pg.Client;
  readonly #connection: CopyConnection;
  readonly #waiting: PositionedMessage[] = [];
  #waitingBytes = 0;
  #isPaused = false;
  #wake: (() => void) | undefined;
  #failure: Error | undefined;
  #isClosed = false;
  #durable = 0n;
  /** The end of what was handed over; once it is durable, so is the log up to where the server stands. */
  #taken = 0n;
  /** Where the server stood when it last answered, until all before it is durable. */
  #answered: bigint | undefined;
  readonly #onCaughtUp: () => void;

  /** `client` is connected, and belongs to the stream from now on. `onCaughtUp` is called once all is durable that the server had when it last answered. */
  constructor(client: pg.Client, onCaughtUp: () => void) {
    this.#client = client;
    this.#onCaughtUp = onCaughtUp;
    this.#connection = (client as unknown as { readonly connection: CopyConnection }).connection;
  }

  /** Begins where the slot stands. The names are our own. */
  start(slot: string, publication: string): void {
    this.#connection.on('copyData', ({ chunk }) => {
      this.#receive(chunk);
    });
    this.#client.on('error', (error) => {
      this.#end(error);
    });
    const names = `publication_names ${pg.escapeLiteral(publication)}`;
    this.#client
      .query(`START_REPLICATION SLOT ${pg.escapeIdentifier(slot)} LOGICAL 0/0 (proto_version '1', ${names})`)
      .then(
        () => {
          this.#end(new Error('the server ended the stream'));
        },
        (error: unknown) => {
          this.#end(error instanceof Error ? error : new Error(String(error)));
        },
      );
  }

  /** The next message; `undefined` after `close`. Rejects with `DEPENDENCY_UNAVAILABLE` when the stream has ended. */
  async next(): Promise<PositionedMessage | undefined> {
    for (;;) {
      if (this.#isClosed) return undefined;
      const message = this.#waiting.shift();
      if (message !== undefined) {
        this.#took(message);
        return message;
      }
      if (this.#failure !== undefined)
        throw new StreamError('DEPENDENCY_UNAVAILABLE', 'the stream of changes has ended', { cause: this.#failure });
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Whether `next` resolves at once. */
  get hasMore(): boolean {
    return this.#waiting.length > 0;
  }

  /** Everything before `lsn` is durable elsewhere: the server may forget it. */
  acknowledge(lsn: bigint): void {
    this.#durable = lsn;
    this.#taken = lsn;
    this.#report();
    this.#noteDurable();
  }

  /** Has the server say where it stands. */
  ask(): void {
    this.#report(true);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#wake?.();
    await this.#client.end();
  }

  #took({ bytes, lsn }: PositionedMessage): void {
    this.#waitingBytes -= bytes;
    if (lsn > this.#taken) this.#taken = lsn;
    if (!this.#isPaused || this.#waitingBytes > waitingBytesMax / 2) return;
    this.#isPaused = false;
    this.#connection.stream.resume();
  }

  #receive(chunk: Buffer): void {
    const kind = String.fromCharCode(chunk[0] ?? 0);
    try {
      if (kind === 'w' && chunk.length >= dataHeaderBytes) this.#receiveData(chunk);
      else if (kind === 'k' && chunk.length >= keepaliveBytes) this.#receiveKeepalive(chunk);
    } catch (error) {
      this.#end(error instanceof Error ? error : new Error(String(error)));
    }
    this.#wake?.();
  }

  #receiveData(chunk: Buffer): void {
    const message = readMessage(chunk.subarray(dataHeaderBytes));
    this.#waiting.push({ lsn: chunk.readBigInt64BE(1), message, bytes: chunk.length });
    this.#waitingBytes += chunk.length;
    if (this.#isPaused || this.#waitingBytes <= waitingBytesMax) return;
    this.#isPaused = true;
    this.#connection.stream.pause();
  }

  /** The server asks for an answer before it gives the connection up. What other tables wrote can be forgotten when nothing of ours is open. */
  #receiveKeepalive(chunk: Buffer): void {
    const serverEnd = chunk.readBigInt64BE(1);
    this.#answered = serverEnd;
    if (this.#waiting.length === 0 && this.#taken <= this.#durable && serverEnd > this.#durable)
      this.acknowledge(serverEnd);
    else if (chunk[17] === 1) this.#report();
    this.#noteDurable();
  }

  #noteDurable(): void {
    if (this.#answered === undefined || this.#durable < this.#answered) return;
    this.#answered = undefined;
    this.#onCaughtUp();
  }

  /** A standby status update: written, flushed and applied up to what is durable. */
  #report(asksForAnswer = false): void {
    if (this.#failure !== undefined || this.#isClosed) return;
    const status = Buffer.alloc(34);
    status.write('r', 'latin1');
    for (const at of [1, 9, 17]) status.writeBigInt64BE(this.#durable, at);
    status[33] = asksForAnswer ? 1 : 0;
    this.#connection.sendCopyFromChunk(status);
  }

  #end(error: Error): void {
    this.#failure ??= error;
    this.#wake?.();
  }
}
