import { systemClock, systemRandom } from '../../../clock.ts';
import { memoryLog, type EmbeddedLogOptions } from '../../../connectors/embedded/embedded-log.ts';
import { logContract } from '../../contracts/log-contract.ts';

function contractOver(name: string, options: Partial<EmbeddedLogOptions>): void {
  logContract(name, async () => {
    const log = memoryLog({ clock: systemClock, random: systemRandom, ...options });
    return {
      log,
      another: () => Promise.resolve(log.client()),
      cleanup: () => log.close(),
      caps: { compact: () => log.maintain() },
    };
  });
}

contractOver('the embedded log in memory', {});
contractOver('the embedded log in memory with late markers', { markerDelayMs: 30 });
