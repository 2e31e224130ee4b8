import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { packSequences, type Sequence } from '../../../core/nn/packing.ts';
import { shapeKey } from '../../../core/nn/packed-inputs.ts';

const ids = (minLength: number, maxLength: number): fc.Arbitrary<number[]> =>
  fc.array(fc.integer({ min: 1, max: 90 }), { minLength, maxLength });
const sequence: fc.Arbitrary<Sequence> = fc
  .record({ text: ids(1, 9), codes: ids(0, 7), trailing: ids(0, 2), first: fc.nat(9) })
  .map(({ first, ...rest }) => ({ ...rest, firstTarget: Math.min(first, rest.text.length) }));

describe('packing', () => {
  test('a small batch, by hand', () => {
    const batch = packSequences([
      { text: [10, 11, 12], firstTarget: 1, codes: [5, 6], trailing: [1] },
      { text: [20, 21], firstTarget: 2, codes: [7], trailing: [] },
    ]);
    expect([...batch.textIds.slice(0, 7)]).toEqual([10, 11, 12, 1, 20, 21, 0]);
    expect([...batch.textRows.slice(0, 6)]).toEqual([0, 1, 2, 5, 6, 7]);
    expect([...batch.imageCodes.slice(0, 4)]).toEqual([5, 6, 7, 0]);
    expect([...batch.imageRows.slice(0, 3)]).toEqual([3, 4, 8]);
    expect([...batch.positions.slice(0, 10)]).toEqual([0, 1, 2, 3, 4, 5, 0, 1, 2, 0]);
    expect([...batch.segmentStart.slice(0, 10)]).toEqual([0, 0, 0, 0, 0, 0, 6, 6, 6, 9]);
    expect([...batch.segmentEnd.slice(0, 10)]).toEqual([6, 6, 6, 6, 6, 6, 9, 9, 9, 10]);
    // Text targets: the rationale behind the prompt, and the end token behind the last code; the head that reads a row is that of what follows it.
    expect([...batch.text.rows.slice(0, 3)]).toEqual([0, 1, 4]);
    expect([...batch.text.ids.slice(0, 3)]).toEqual([11, 12, 1]);
    expect([...batch.text.position]).toEqual([1, 2, 5]);
    expect([...batch.image.rows.slice(0, 3)]).toEqual([2, 3, 7]);
    expect([...batch.image.ids.slice(0, 3)]).toEqual([5, 6, 7]);
    expect([...batch.image.owner]).toEqual([0, 0, 1]);
    expect(batch.usedTokens).toBe(9);
  });

  test('positions that are given are kept, the tokens behind follow, and others count on every axis', () => {
    // Two texts; the first has a picture of two vectors behind its first token.
    const positions = { positions: Uint32Array.of(0, 0, 1, 1, 1, 2), axes: 2, next: 3 };
    const batch = packSequences([
      { text: [10, 99, 99, 11], firstTarget: 4, codes: [5], trailing: [1], features: [1, 2], positions },
      { text: [20, 21], firstTarget: 2, codes: [], trailing: [] },
    ]);
    expect(batch.positionAxes).toBe(2);
    expect([...batch.positions.slice(0, 18)]).toEqual([0, 0, 1, 1, 1, 2, 3, 3, 4, 4, 5, 5, 0, 0, 1, 1, 0, 0]);
    expect(batch.positions).toHaveLength(2 * batch.count);
  });

  test('text alone has no image tokens and no image targets', () => {
    const batch = packSequences([{ text: [1, 2, 3], firstTarget: 3, codes: [], trailing: [] }]);
    expect([batch.count, batch.imageCodes.length, batch.text.count, batch.image.count]).toEqual([128, 0, 0, 0]);
  });

  test('whatever is packed: every token stands once, sees its own sequence, and every target is the next token of its row', () => {
    fc.assert(
      fc.property(fc.array(sequence, { minLength: 1, maxLength: 30 }), (sequences) => {
        const batch = packSequences(sequences);
        for (const length of [batch.textIds.length, batch.imageCodes.length, batch.text.count, batch.image.count])
          expect(length % 128).toBe(0);
        const rows = [...batch.textRows, ...batch.imageRows].sort((a, b) => a - b);
        expect(rows).toEqual(Array.from({ length: batch.count }, (_, row) => row));
        const tokenAt = new Map<number, { id: number; kind: string }>();
        batch.textRows.forEach((row, index) => tokenAt.set(row, { id: batch.textIds[index] ?? -1, kind: 'text' }));
        batch.imageRows.forEach((row, index) => tokenAt.set(row, { id: batch.imageCodes[index] ?? -1, kind: 'image' }));
        let start = 0;
        for (const { text, codes, trailing } of sequences) {
          const all = [
            ...text.map((id) => ({ id, kind: 'text' })),
            ...codes.map((id) => ({ id, kind: 'image' })),
            ...trailing.map((id) => ({ id, kind: 'text' })),
          ];
          all.forEach((token, index) => {
            expect(tokenAt.get(start + index)).toEqual(token);
            expect([
              batch.positions[start + index],
              batch.segmentStart[start + index],
              batch.segmentEnd[start + index],
            ]).toEqual([index, start, start + all.length]);
          });
          start += all.length;
        }
        expect(batch.usedTokens).toBe(start);
        for (let row = start; row < batch.count; row++)
          expect([batch.positions[row], batch.segmentStart[row], batch.segmentEnd[row]]).toEqual([0, row, row + 1]);
        for (const kind of ['text', 'image'] as const) {
          const targets = batch[kind];
          expect(new Set(targets.rows.slice(0, targets.used)).size).toBe(targets.used);
          for (let i = 0; i < targets.used; i++) {
            expect(tokenAt.get((targets.rows[i] ?? -1) + 1)).toEqual({ id: targets.ids[i], kind });
            expect(batch.positions[(targets.rows[i] ?? -1) + 1]).toBe(targets.position[i]);
          }
        }
        const expectedText = sequences.reduce(
          (sum, { text, trailing, firstTarget }) =>
            sum + Math.max(0, text.length - Math.max(1, firstTarget)) + trailing.length,
          0,
        );
        expect([batch.text.used, batch.image.used]).toEqual([
          expectedText,
          sequences.reduce((sum, { codes }) => sum + codes.length, 0),
        ]);
      }),
      { numRuns: 50 },
    );
  });

  test('batches of nearly one size have one shape', () => {
    const of = (length: number): string =>
      shapeKey(
        packSequences(
          Array.from({ length: 8 }, () => ({
            text: new Array<number>(length).fill(4),
            firstTarget: 2,
            codes: [1, 2, 3],
            trailing: [],
          })),
        ),
      );
    expect(of(12)).toBe(of(15));
    expect(of(12)).not.toBe(of(17));
  });
});
