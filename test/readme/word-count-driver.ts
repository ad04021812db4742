import { TestDriver } from '../../testing.ts';
import { counts, lines, wordCount } from './word-count.ts';

const driver = new TestDriver(wordCount, { partitions: 3 });
driver.pipe(lines, 'hamlet', 'To be, or not to be');
export const counted = driver.read(counts).map(({ key, value }) => [key, value]);
// [['to', 1], ['be', 1], ['or', 1], ['not', 1], ['to', 2], ['be', 2]], in the order of each partition
driver.close();
