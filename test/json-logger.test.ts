import { describe, expect, test } from '@jest/globals';
import { systemClock, type Clock, type LogFacts } from '../clock.ts';
import { StreamError } from '../errors.ts';
import { createJsonLogger } from '../json-logger.ts';

const clock: Clock = { ...systemClock, nowMs: () => 0 };

function logged(message: string, facts?: LogFacts): string {
  const lines: string[] = [];
  createJsonLogger({ level: 'info', clock, write: (line) => lines.push(line) }).info(message, facts);
  return lines.join('\n');
}

function factsOf(facts: LogFacts): unknown {
  return (JSON.parse(logged('m', facts)) as { facts: unknown }).facts;
}

describe('the JSON logger', () => {
  test('writes one object a line with time, level, message and facts', () => {
    expect(logged('task opened', { task: '0_1', offset: 12n })).toBe(
      '{"time":"1970-01-01T00:00:00.000Z","level":"info","message":"task opened","facts":{"task":"0_1","offset":"12"}}',
    );
  });

  test('drops events below its level', () => {
    const lines: string[] = [];
    const logger = createJsonLogger({ level: 'warn', clock, write: (line) => lines.push(line) });
    logger.debug('d');
    logger.info('i');
    logger.warn('w');
    logger.error('e');
    expect(lines.map((line) => (JSON.parse(line) as { level: string }).level)).toEqual(['warn', 'error']);
  });

  test.each([
    ['a newline and a forged event', 'x"}\n{"level":"error"'],
    ['terminal escapes', '\u001b[31mred\u001b[0m\u009b31m'],
    ['separators and direction marks', 'a\u2028b\u2029c\u202ed\u2066e\u200bf\ufeffg'],
    ['a lone surrogate', 'a\ud800b'],
    ['NUL and DEL', '\u0000\u007f'],
  ])('keeps %s inside one line of visible characters', (_name, text) => {
    const line = logged(text, { [text]: text });
    expect(line).toMatch(/^[\x20-\x7e]*$/);
    const event = JSON.parse(line) as { message: string; facts: Record<string, string> };
    expect(event.message).toBe(text);
    expect(event.facts[text]).toBe(text);
  });

  test('caps long text, long lists and deep objects', () => {
    const deep: Record<string, unknown> = {};
    deep['self'] = deep;
    const line = logged('x'.repeat(1_000_000), { list: Array.from({ length: 10_000 }, () => 'y'.repeat(5_000)), deep });
    expect(line.length).toBeLessThan(20_000);
    expect(() => JSON.parse(line) as unknown).not.toThrow();
  });

  test.each([
    'password',
    'KAFKA_SASL_PASSWORD',
    'sasl',
    'authorization',
    'Authorization',
    'apiToken',
    'set-cookie',
    'clientSecret',
    'privateKey',
  ])('a fact named %s is not written', (name) => {
    expect(factsOf({ nested: { [name]: 'canary' } })).toEqual({ nested: { [name]: '***' } });
  });

  test.each([
    ['postgres://user:canary@db:5432/x', 'postgres://***@db:5432/x'],
    ['sent Authorization: Bearer canary.abc-def', 'sent Authorization: Bearer ***'],
    ['basic Y2FuYXJ5', 'basic ***'],
    ['failed: password=canary, user=x', 'failed: password=***, user=x'],
    ['{"password":"canary"}', '{"password":***}'],
  ])('redacts credentials in text: %s', (text, clean) => {
    expect(factsOf({ text })).toEqual({ text: clean });
    expect(logged(text)).not.toContain('canary');
  });

  test('an error is written with code, facts and causes, each of them clean', () => {
    const cause = new Error('connect kafka://u:canary@b failed');
    const error = new StreamError('LOG_UNAVAILABLE', 'no broker', {
      facts: { broker: 'b:1', password: 'canary' },
      cause,
    });
    const line = logged('failed', { error });
    expect(line).not.toContain('canary');
    const { facts } = JSON.parse(line) as { facts: { error: Record<string, unknown> } };
    expect(facts.error).toMatchObject({
      name: 'StreamError',
      code: 'LOG_UNAVAILABLE',
      message: 'no broker',
      facts: { broker: 'b:1', password: '***' },
      cause: { name: 'Error', message: 'connect kafka://***@b failed' },
    });
  });

  test('odd values do not break it', () => {
    const hostile = {
      get bad(): never {
        throw new Error('no');
      },
    };
    expect(() =>
      logged('m', {
        hostile,
        f: () => 1,
        s: Symbol('x'),
        n: Number.NaN,
        bytes: new Uint8Array(3),
        map: new Map([[1, 2]]),
      }),
    ).not.toThrow();
    const proto = JSON.parse('{"__proto__":{"polluted":1}}') as LogFacts;
    expect(logged('m', proto)).toContain('"__proto__":{"polluted":1}');
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  test('patterns run in linear time', () => {
    const startMs = performance.now();
    logged(`${'a'.repeat(100_000)}://${'b'.repeat(100_000)}`, {
      x: 'password='.repeat(20_000),
      y: 'bearer '.repeat(20_000),
    });
    expect(performance.now() - startMs).toBeLessThan(200);
  });
});
