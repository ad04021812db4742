import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
} from '../../../connectors/kafka/consumer-protocol.ts';
import { attemptAgain, checkCode, isUnanswered, kafkaError } from '../../../connectors/kafka/kafka-errors.ts';
import { WireReader, WireWriter } from '../../../connectors/kafka/wire.ts';
import { errorTable } from '../../../errors.ts';

const bytes = fc.uint8Array({ maxLength: 6000 });
const item = fc.record({
  small: fc.integer({ min: -128, max: 127 }),
  short: fc.integer({ min: -32_768, max: 32_767 }),
  int: fc.integer(),
  long: fc.maxSafeInteger(),
  big: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  flag: fc.boolean(),
  text: fc.string({ unit: 'grapheme', maxLength: 300 }),
  maybe: fc.option(fc.string(), { nil: undefined }),
  bytes,
});

describe('the wire format', () => {
  test.each([true, false])('what is written is read again, flexible: %s', (isFlexible) => {
    fc.assert(
      fc.property(fc.array(item, { maxLength: 20 }), (items) => {
        const writer = new WireWriter(isFlexible);
        writer.array(items, (each) => {
          writer.int8(each.small);
          writer.int16(each.short);
          writer.int32(each.int);
          writer.int64(each.long);
          writer.bigint64(each.big);
          writer.boolean(each.flag);
          writer.string(each.text);
          writer.nullableString(each.maybe);
          writer.bytes(each.bytes);
          writer.tags();
        });
        writer.nullArray();
        writer.emptyUuid();
        const written = Buffer.concat(writer.finish());
        expect(written.readInt32BE(0)).toBe(written.length - 4);

        const reader = new WireReader(written.subarray(4), isFlexible);
        const read = reader.array(() => {
          const each = {
            small: reader.int8(),
            short: reader.int16(),
            int: reader.int32(),
            long: reader.int64(),
            big: reader.bigint64(),
            flag: reader.boolean(),
            text: reader.string(),
            maybe: reader.nullableString(),
            bytes: new Uint8Array(reader.nullableBytes()!),
          };
          reader.tags();
          return each;
        });
        expect(read).toEqual(items.map((each) => ({ ...each, long: each.long === 0 ? 0 : each.long })));
        expect(reader.array(() => 1)).toEqual([]);
        expect(Buffer.from(reader.uuid(), 'base64url')).toEqual(Buffer.alloc(16));
      }),
      { numRuns: 100 },
    );
  });

  test('tagged fields of later versions are passed over', () => {
    const reader = new WireReader(Buffer.from([2, 0, 1, 9, 5, 2, 9, 9, 42]), true);
    reader.tags();
    expect(reader.int8()).toBe(42);
  });

  test('bytes that end too early are a RangeError, never an endless loop', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.boolean(), (noise, isFlexible) => {
        const reader = new WireReader(Buffer.from(noise), isFlexible);
        try {
          for (;;) {
            reader.array(() => [reader.string(), reader.nullableBytes(), reader.int64()]);
            reader.tags();
            reader.int8();
          }
        } catch (error) {
          expect(error).toHaveProperty('name', 'RangeError');
        }
      }),
    );
  });
});

describe('the frames of group metadata', () => {
  test('user data come back as they were', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), bytes, fc.integer(), (topics, userData, generation) => {
        const subscription = decodeSubscription(encodeSubscription(topics, userData, generation));
        expect({ topics: subscription.topics, userData: new Uint8Array(subscription.userData) }).toEqual({
          topics,
          userData,
        });
        expect(new Uint8Array(decodeAssignment(encodeAssignment(userData)))).toEqual(userData);
      }),
    );
  });

  test('whatever another client sends, nothing throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (noise) => {
        decodeSubscription(Buffer.from(noise));
        decodeAssignment(Buffer.from(noise));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('error codes', () => {
  test('each code of the protocol becomes an error of ours that names it', () => {
    for (let code = -1; code <= 140; code++) {
      if (code === 0) continue;
      const error = kafkaError(code, 'it failed', { topic: 't' });
      expect(errorTable).toHaveProperty(error.code);
      expect(error.facts['topic']).toBe('t');
      expect(error.facts['kafkaError']).toMatch(/^[A-Z_0-9]+$/);
    }
  });

  test.each([
    [3, 'TOPIC_UNKNOWN', 'moved'],
    [6, 'LOG_UNAVAILABLE', 'moved'],
    [10, 'RECORD_TOO_LARGE', undefined],
    [14, 'LOG_UNAVAILABLE', 'same'],
    [16, 'LOG_UNAVAILABLE', 'moved'],
    [22, 'MEMBER_FENCED', undefined],
    [27, 'REBALANCE_IN_PROGRESS', undefined],
    [29, 'LOG_UNAUTHORIZED', undefined],
    [34, 'LOG_REFUSED', undefined],
    [47, 'PRODUCER_FENCED', undefined],
    [51, 'LOG_UNAVAILABLE', 'same'],
    [88, 'OFFSETS_UNSTABLE', undefined],
    [90, 'PRODUCER_FENCED', undefined],
    [139, 'LOG_REFUSED', undefined],
  ])('%i is %s, to be tried again: %s', (code, expected, again) => {
    const error = kafkaError(code, 'it failed');
    expect(error.code).toBe(expected);
    expect(attemptAgain(error)).toBe(again);
    expect(isUnanswered(error)).toBe(false);
  });

  test('no code is no error', () => {
    expect(() => {
      checkCode(0, 'it failed');
    }).not.toThrow();
  });
});
