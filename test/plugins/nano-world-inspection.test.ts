import { expect, test } from 'vitest';
import type { Sample } from '../../core/plugin.ts';
import { createNanoDataset } from '../../plugins/nano-world/dataset.ts';
import { createInspector } from '../../plugins/nano-world/world.ts';

const dataset = createNanoDataset();
const sampleOf = (data: Uint8Array): Sample =>
  ({ id: 'a', image: { width: 48, height: 48, data } }) as unknown as Sample;

test('a picture is looked at once by all who judge it: what was found is known by its bytes', () => {
  const [first, second] = [createInspector(), createInspector()];
  const { data } = dataset.example(0, 0).image;
  const found = first(sampleOf(data));
  expect(second(sampleOf(data.slice()))).toBe(found);
  const painted = data.slice().fill(0, 0, 48 * 3 * 16);
  expect(second(sampleOf(painted)).unexplainedPixels).toBeGreaterThan(found.unexplainedPixels);
  expect(first(sampleOf(data))).toBe(found);
});

test('the memory of pictures has an end, and a picture that comes again is looked at again with the same result', () => {
  const inspect = createInspector();
  const { data } = dataset.example(1, 0).image;
  const found = inspect(sampleOf(data));
  for (let index = 0; index < 512; index++) {
    const other = new Uint8Array(data.length).fill(220);
    other.set([index & 255, index >> 8]);
    inspect(sampleOf(other));
  }
  const again = inspect(sampleOf(data));
  expect(again).not.toBe(found);
  expect(again).toEqual(found);
});
