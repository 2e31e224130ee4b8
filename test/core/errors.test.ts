/** Messages are as long as a person reads, however many mistakes there are and whatever they are about. */
import { expect, test } from 'vitest';
import { formatError, PresetError, ProblemsError } from '../../core/errors.ts';

test('a name that is a whole text is cut in the middle', () => {
  const { message } = new PresetError({ code: 'A', message: `there is no reward "${'x y '.repeat(3000)}end"` });
  expect(message.length).toBeLessThan(900);
  expect(message).toMatch(/^there is no reward "x y .* … .*end"$/);
  expect(new PresetError({ code: 'A', message: 'm'.repeat(300) }).message).toBe('m'.repeat(300));
});

test('a list of what there is stands once, short hints stand with every mistake', () => {
  const all = `There is: ${Array.from({ length: 60 }, (_, index) => `option${index}`).join(', ')}`;
  const problems = ['a', 'b', 'c'].flatMap((name) => [
    new PresetError({ code: 'UNKNOWN', message: `${name} is none`, place: `p:${name}`, hint: all }),
    new PresetError({ code: 'TYPO', message: `${name} is another`, place: `q:${name}`, hint: 'Did you mean "d"?' }),
  ]);
  const shown = formatError(new ProblemsError(problems));
  expect(shown.split(all)).toHaveLength(2);
  expect(shown.match(/Did you mean/g)).toHaveLength(3);
  expect(shown).toContain('UNKNOWN  p:c\n  c is none.');
});
