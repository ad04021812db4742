import { describe, expect, test } from '@jest/globals';
import { murmur3 } from '../../schemas/murmur3.ts';

describe('murmur3', () => {
  test.each([
    ['21', 5857341059704281894n, -5288187638297930763n],
    ['foobar', -351361463397418609n, 8959716011862540668n],
    ['a-little-bit-long-string', 8836256500583638442n, -198172363548498523n],
    ['a-little-bit-longer-string', 1838346159335108511n, 8794688210320490705n],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -4024021876037397259n, -1482317706335141238n],
    ['abc', 1489494923063836066n, -5440978547625122829n],
  ])('hashes %p as Kafka Streams does', (text, first, second) => {
    const hash = Buffer.from(murmur3(Buffer.from(text), 123));

    expect([hash.readBigInt64BE(0), hash.readBigInt64BE(8)]).toEqual([first, second]);
  });

  test('takes bytes of every length, and depends on each of them', () => {
    const hashes = Array.from({ length: 40 }, (_, length) =>
      Buffer.from(murmur3(new Uint8Array(length))).toString('hex'),
    );

    expect(new Set(hashes).size).toBe(40);
  });
});
