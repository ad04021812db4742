import { silentLogger, systemClock, systemRandom } from '../clock.ts';
import { embeddedLog } from '../connectors/embedded/file-log.ts';
import { kafkaLog } from '../connectors/kafka/kafka-log.ts';
import type { Log } from '../connectors/log.ts';

/** Opens `kafka:host:port` or `embedded:directory`. */
export async function openLogFor(name: string): Promise<Log> {
  const separator = name.indexOf(':');
  const rest = name.slice(separator + 1);
  if (name.startsWith('kafka:'))
    return kafkaLog(
      { brokers: [rest], clientId: 'bench' },
      { clock: systemClock, random: systemRandom, logger: silentLogger },
    );
  return await embeddedLog({ directory: rest, clock: systemClock, random: systemRandom, logger: silentLogger });
}
