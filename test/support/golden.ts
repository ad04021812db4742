import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from '@jest/globals';

/**
 * Compares `text` with the reviewed file `test/<path>`. With `UPDATE_GOLDEN=1` the file is written instead: read the difference before it is
 * committed, it shows what changes for running applications.
 */
export function expectGolden(path: string, text: string): void {
  const file = fileURLToPath(new URL(`../${path}`, import.meta.url));
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, text);
  expect(existsSync(file) ? readFileSync(file, 'utf8') : `no file test/${path}`).toBe(text);
}
