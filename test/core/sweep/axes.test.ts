import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseAxis, parseSeeds, variantsOf } from '../../../core/sweep/axes.ts';

test('values are texts of YAML; commas within brackets, braces and quotes belong to a value', () => {
  expect(parseAxis('optimizer.learningRate=1e-5, 3e-5')).toEqual({
    path: 'optimizer.learningRate',
    values: ['1e-5', '3e-5'],
  });
  expect(parseAxis('optimizer.betas=[0.9, 0.99],[0.9, 0.999]').values).toEqual(['[0.9, 0.99]', '[0.9, 0.999]']);
  expect(parseAxis('rewards={ use: a, weight: 1 },{ use: b }').values).toEqual(['{ use: a, weight: 1 }', '{ use: b }']);
  expect(parseAxis(`recipe.x="a,b",'c,d'`).values).toEqual(['"a,b"', `'c,d'`]);
  expect(parseAxis('recipe.x="😀,",b').values).toEqual(['"😀,"', 'b']);
  expect(parseAxis('recipe.x=a=1,b=2').values).toEqual(['a=1', 'b=2']);
});

test.each([
  ['optimizer.learningRate', 'not PATH=VALUE'],
  ['=1,2', 'not PATH=VALUE'],
  ['a..b=1,2', 'not PATH=VALUE'],
  ['a=1', 'varies nothing'],
  ['a=', 'empty'],
  ['a=1,,2', 'empty'],
  ['a=1,1', 'twice'],
  ['seed=1,2', '--seeds'],
])('%s is refused', (text, message) => {
  expect(() => parseAxis(text)).toThrow(message);
});

test('seeds are a number of them, or a list', () => {
  expect(parseSeeds('3')).toEqual([0, 1, 2]);
  expect(parseSeeds('7,1')).toEqual([7, 1]);
  for (const text of ['0', '', '-1', '1.5', '1,1', '1,', 'x', '99999999999'])
    expect(() => parseSeeds(text)).toThrow(/seed/);
  expect(parseSeeds('2', ['recipe.seeds=3'])).toEqual([0, 1]);
  expect(() => parseSeeds('2', ['recipe.steps=3', 'seed=7'])).toThrow('--set seed=7 chooses one already');
});

test('every combination once, the last axis fastest, under names that tell them apart', () => {
  const axes = [parseAxis('optimizer.learningRate=1,2'), parseAxis('recipe.steps=3,4')];
  expect(variantsOf(axes, [0]).map(({ name }) => name)).toEqual([
    'learningRate=1 steps=3',
    'learningRate=1 steps=4',
    'learningRate=2 steps=3',
    'learningRate=2 steps=4',
  ]);
  expect(variantsOf(axes, [0])[2]?.settings).toEqual(['optimizer.learningRate=2', 'recipe.steps=3']);
  expect(variantsOf([], [0, 1])).toEqual([{ name: 'as it is', settings: [] }]);
  const alike = [parseAxis('rewards.a.weight=1,2'), parseAxis('rewards.b.weight=1,2')];
  expect(variantsOf(alike, [0])[0]?.name).toBe('rewards.a.weight=1 rewards.b.weight=1');
  expect(() => variantsOf([axes[0]!, axes[0]!], [0])).toThrow('varied twice');
  expect(() =>
    variantsOf(
      axes,
      Array.from({ length: 251 }, (_, seed) => seed),
    ),
  ).toThrow('at most 1000');
});

test('what is joined by commas comes apart again', () => {
  const value = fc.oneof(
    fc.stringMatching(/^[a-z0-9.=-]{1,8}$/),
    fc.array(fc.nat(9), { maxLength: 3 }).map((list) => `[${list.join(', ')}]`),
    fc.stringMatching(/^[a-z, ]{0,8}$/).map((text) => `"${text}"`),
  );
  fc.assert(
    fc.property(fc.uniqueArray(value, { minLength: 2, maxLength: 6 }), (values) => {
      expect(parseAxis(`recipe.x=${values.join(',')}`).values).toEqual(values);
    }),
  );
});
