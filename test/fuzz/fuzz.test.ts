/**
 * The short form of fuzzing: every target with some inputs of a fixed seed. `npm run fuzz` tries as many others as one likes. The harness
 * is held to a reader that has every fault it must find.
 */
import { expect, test } from 'vitest';
import { formatError, ReasongenError } from '../../core/errors.ts';
import { fuzz, openTarget, targetNames } from './harness.ts';
import { mutate } from './mutate.ts';

test('the harness finds readers that hang, die, throw, fill memory or print what they were given, and goes on behind them', async () => {
  const limits = { clock: 5000, memory: 400 * 2 ** 20 };
  const { counts, findings } = await fuzz({ target: '../broken', seed: 1, first: 0, last: 8 }, limits);
  expect(counts).toEqual({ read: 2, refused: 4 });
  expect(findings.map(({ number, what }) => [number, what.split('\n')[0]])).toEqual([
    [2, 'not done after 5 seconds'],
    [3, 'the process ended (SIGKILL): '],
    [4, 'threw TypeError: undefined is not a function'],
    [5, expect.stringMatching(/^a message of \d+ characters|^a message with data in it/) as string],
    // 6 would print a control character: what is printed has none, whoever writes it (the test below).
    [7, expect.stringMatching(/^\d+ MiB of memory$/) as string],
  ]);
});

test('what a terminal would obey is shown, not printed', () => {
  const shown = formatError(new ReasongenError({ code: 'REFUSED', message: '\u001b[2J gone', place: '\u0007here' }));
  // oxlint-disable-next-line no-control-regex -- what a terminal would obey
  expect(shown).not.toMatch(/[\u0000-\u0008\u000b-\u001f]/);
  expect(shown).toContain('gone');
});

test('an input follows from seed and number', () => {
  const seeds = [new TextEncoder().encode('{"number": 12, "text": "abc"}'.repeat(9)), new Uint8Array(64).fill(3)];
  const inputs = Array.from({ length: 200 }, (_, number) => Buffer.from(mutate(seeds, number, 5)).toString('hex'));
  expect(inputs.slice(0, 2)).toEqual(seeds.map((each) => Buffer.from(each).toString('hex')));
  expect(Array.from({ length: 200 }, (_, number) => Buffer.from(mutate(seeds, number, 5)).toString('hex'))).toEqual(
    inputs,
  );
  expect(new Set(inputs).size).toBeGreaterThan(190);
  expect(Buffer.from(mutate(seeds, 9, 6)).toString('hex')).not.toBe(inputs[9]);
});

test.each(targetNames())('%s: every input is read, or refused in one message', async (target) => {
  const { short = 150 } = await openTarget(target);
  const { counts, findings } = await fuzz({ target, seed: 1, first: 0, last: short });
  expect(findings).toEqual([]);
  expect(counts.read).toBeGreaterThan(0);
  expect(counts.refused).toBeGreaterThan(0);
});
