import { expect, test } from '@jest/globals';
import { systemClock } from '../clock.ts';

test('those who yield at one time take turns, and whatever else is due comes between them', async () => {
  const order: string[] = [];
  const yielding = async (name: string): Promise<void> => {
    for (let turn = 0; turn < 3; turn += 1) {
      await systemClock.yield();
      order.push(name);
    }
  };
  let isOver = false;
  const other = (): void => {
    order.push('other');
    if (!isOver) setImmediate(other);
  };
  setImmediate(other);
  await Promise.all(['a', 'b', 'c'].map(yielding));
  isOver = true;
  expect(order.filter((name) => name !== 'other').join('')).toBe('abcabcabc');
  for (const [index, name] of order.entries()) if (name !== 'other') expect(order[index + 1] ?? 'other').toBe('other');
});
