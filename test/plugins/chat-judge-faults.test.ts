/** Three seconds with an endpoint on its worst day; `test/soak/judge.ts` takes a minute. */
import { expect, test } from 'vitest';
import { judgeThroughFaults } from '../support/judge-through-faults.ts';

test('a judge that is busy, broken, silent or breaks off judges everything in the end, and nothing twice', async () => {
  const end = await judgeThroughFaults(3000, 96, 5);
  expect(end.scores).toBeGreaterThanOrEqual(96);
  expect(end.asked).toBeLessThanOrEqual(2 * end.scores);
  expect(end.askedAgain).toBe(0);
  expect(end.early).toBe(0);
});
