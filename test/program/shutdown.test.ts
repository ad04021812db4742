import { describe, expect, test } from '@jest/globals';
import { systemClock, type Clock } from '../../clock.ts';
import { Shutdown } from '../../program/shutdown.ts';

/** Time that passes at once. */
const hurried: Clock = { ...systemClock, sleep: (ms, signal) => systemClock.sleep(ms / 1_000, signal) };

function shutdownOf(clock: Clock = systemClock): { shutdown: Shutdown; exits: number[]; closed: string[] } {
  const exits: number[] = [];
  return { shutdown: new Shutdown({ clock, timeoutMs: 10_000, exit: (code) => exits.push(code) }), exits, closed: [] };
}

describe('shutdown', () => {
  test('closes in reverse order, one after the other', async () => {
    const { shutdown, closed } = shutdownOf();
    for (const name of ['log', 'instances', 'api'])
      shutdown.add(name, async () => {
        await systemClock.sleep(2);
        closed.push(name);
      });
    expect(shutdown.signal.aborted).toBe(false);
    shutdown.request(143);
    expect(shutdown.signal.aborted).toBe(true);
    expect(await shutdown.finished()).toEqual({ exitCode: 0, problems: [] });
    expect(closed).toEqual(['api', 'instances', 'log']);
  });

  test('a second request ends the process at once', () => {
    const { shutdown, exits } = shutdownOf();
    shutdown.add('slow', () => new Promise(() => undefined));
    shutdown.request(143);
    expect(exits).toEqual([]);
    shutdown.request(130);
    expect(exits).toEqual([130]);
  });

  test('what does not close costs the time, not more', async () => {
    const { shutdown, closed } = shutdownOf(hurried);
    shutdown.add('never reached', () => closed.push('never reached'));
    shutdown.add('slow', () => new Promise(() => undefined));
    shutdown.request(143);
    expect(await shutdown.finished()).toEqual({ exitCode: 1, problems: ['not closed after 10000 ms'] });
    expect(closed).toEqual([]);
  });

  test('what fails to close does not keep the others open', async () => {
    const { shutdown, closed } = shutdownOf();
    shutdown.add('log', () => closed.push('log'));
    shutdown.add('broken', () => Promise.reject(new Error('no')));
    shutdown.add('late', () => false);
    shutdown.request(143);
    expect(await shutdown.finished()).toEqual({ exitCode: 1, problems: ['late: not closed in time', 'broken: no'] });
    expect(closed).toEqual(['log']);
  });

  test('what is added while closing is closed, too', async () => {
    const { shutdown, closed } = shutdownOf();
    shutdown.add('first', async () => {
      await systemClock.sleep(1);
      shutdown.add('late', () => closed.push('late'));
    });
    shutdown.request(143);
    await shutdown.finished();
    shutdown.add('later', () => closed.push('later'));
    expect((await shutdown.finished()).exitCode).toBe(0);
    expect(closed).toEqual(['late', 'later']);
  });

  test('a failure closes everything and shows in the exit code', async () => {
    const { shutdown, closed, exits } = shutdownOf();
    shutdown.add('log', () => closed.push('log'));
    shutdown.fail();
    shutdown.request(143);
    expect((await shutdown.finished()).exitCode).toBe(1);
    expect([closed, exits]).toEqual([['log'], []]);
  });
});
