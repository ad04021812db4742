import { expect, test } from '@jest/globals';
import { memoryStores } from '../../state-stores/memory.ts';
import { openOptions, storesContract, text, write } from '../contracts/key-value-store-contract.ts';

storesContract('memoryStores', async () => memoryStores());

test('the count is exact', async () => {
  const store = await memoryStores().open(['0_0', 'counts'], openOptions);
  await write(store, 1, [
    [text('a'), text('1')],
    [text('b'), text('1')],
  ]);
  await write(store, 2, [[text('a'), undefined]]);
  expect(store.approximateCount()).toBe(1);
});
