/** A way to a server on loopback that can be closed and opened again, as a network does. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export class Gate {
  readonly #target: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isOpen = true;

  constructor(target: number) {
    this.#target = target;
    this.#server = createServer((socket) => this.#through(socket));
  }

  /** Resolves with the port to be asked instead. */
  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  open(): void {
    this.#isOpen = true;
  }

  /** Breaks what is connected, and whatever connects. */
  shut(): void {
    this.#isOpen = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.shut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #through(socket: Socket): void {
    if (!this.#isOpen) {
      socket.destroy();
      return;
    }
    const far = connect(this.#target, '127.0.0.1');
    for (const [one, other] of [
      [socket, far],
      [far, socket],
    ] as const) {
      this.#sockets.add(one);
      one.on('error', () => undefined);
      one.on('close', () => {
        this.#sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }
}
