/** What people see of a running application: lines, and on a terminal one line at the bottom that is rewritten. */
import type { Clock } from '../clock.ts';

/** The part of a stream that is needed; `process.stdout` is one. */
export interface TextOutput {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface Terminal {
  /** Prints a line that stays. */
  line(text: string): void;
  /** Shows how things are now. Elsewhere than on a terminal a line is printed if it changed, and not more often than every few seconds. */
  status(text: string): void;
  /** Hands a line to another stream of the same terminal without tearing the status. */
  around(write: () => void): void;
  /** Ends the status line. */
  close(): void;
}

/** Between two status lines where they cannot be rewritten. */
const plainStatusEveryMs = 5_000;

export function createTerminal(output: TextOutput, clock: Clock): Terminal {
  return output.isTTY === true ? rewriting(output) : plain(output, clock);
}

/** Nothing that is shown can move the cursor or hide: control characters become spaces. */
function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, ' ');
}

function rewriting(output: TextOutput): Terminal {
  let shown = '';
  const erase = (): void => {
    if (shown !== '') output.write('\r\u001b[2K');
  };
  const around = (write: () => void): void => {
    erase();
    write();
    if (shown !== '') output.write(shown);
  };
  return {
    line: (text) => around(() => output.write(`${visible(text)}\n`)),
    status: (text) => {
      erase();
      // One column stays free: a full line would wrap and could not be erased. Some terminals do not tell their width.
      const columns = output.columns === undefined || output.columns === 0 ? 80 : output.columns;
      shown = visible(text).slice(0, columns - 1);
      output.write(shown);
    },
    around,
    close: () => {
      if (shown !== '') output.write('\n');
      shown = '';
    },
  };
}

function plain(output: TextOutput, clock: Clock): Terminal {
  let printed = '';
  let atMs = -Infinity;
  return {
    line: (text) => output.write(`${visible(text)}\n`),
    status: (text) => {
      const nowMs = clock.monotonicMs();
      if (text === printed || nowMs - atMs < plainStatusEveryMs) return;
      printed = text;
      atMs = nowMs;
      output.write(`${visible(text)}\n`);
    },
    around: (write) => write(),
    close: () => undefined,
  };
}
