/** One connection of a load generator, kept alive: an answer costs it so little that the generator is not what is measured. */
import { connect, type Socket } from 'node:net';

export interface HttpConnection {
  /** Sends a whole request; `answered` learns its status, or 0 if there was no answer. One at a time. */
  send(request: string, answered: (status: number) => void): void;
  close(): void;
}

const endOfHead = Buffer.from('\r\n\r\n');

/** Connects when something is sent, and anew after the other side has closed. Knows answers with a length alone, as this API gives them. */
export function httpConnection(address: { readonly host: string; readonly port: number }): HttpConnection {
  let socket: Socket | undefined;
  let waiting: ((status: number) => void) | undefined;
  let received: Buffer = Buffer.alloc(0);

  const answer = (status: number): void => {
    const answered = waiting;
    waiting = undefined;
    received = Buffer.alloc(0);
    answered?.(status);
  };
  const open = (): Socket => {
    const opened = connect({ ...address, noDelay: true });
    opened.on('data', (chunk: Buffer) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      const status = statusOfWhole(received);
      if (status !== undefined) answer(status);
    });
    opened.on('error', () => undefined);
    opened.on('close', () => {
      if (socket !== opened) return;
      socket = undefined;
      answer(0);
    });
    return opened;
  };
  return {
    send: (request, answered) => {
      waiting = answered;
      socket ??= open();
      socket.write(request);
    },
    close: () => socket?.destroy(),
  };
}

/** The status of an answer that is all there. */
function statusOfWhole(bytes: Buffer): number | undefined {
  const at = bytes.indexOf(endOfHead);
  if (at < 0) return undefined;
  const head = bytes.toString('latin1', 0, at);
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);
  return bytes.length < at + endOfHead.length + length ? undefined : Number(head.slice(9, 12));
}
