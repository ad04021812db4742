/** A process with an open LevelDB store, for tests that kill it: `level-child.ts <directory> <write|hold> <first>`. */
import { silentLogger, systemRandom } from '../../clock.ts';
import { hasCode } from '../../errors.ts';
import { levelStores } from '../../state-stores/level.ts';
import { batchOf, levelPath, smallStore } from './level-model.ts';

const [directory = '', mode = '', first = '1'] = process.argv.slice(2);

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

try {
  const stores = levelStores({ directory, logger: silentLogger, random: systemRandom });
  const store = await stores.open(levelPath, smallStore);
  say('open');
  if (mode === 'write')
    for (let position = Number(first); ; position += 1) {
      const batch = store.batch();
      for (const [key, value] of batchOf(position)) {
        if (value === undefined) batch.delete(key);
        else batch.put(key, value);
      }
      await batch.write(position);
      say(String(position));
    }
  // A referenced handle keeps the process until it is killed.
  process.stdin.resume();
} catch (error) {
  say(hasCode(error, 'STORE_LOCKED', 'STORE_CORRUPT', 'STORE_IO') ? error.code : String(error));
}
