/** What `create` must return, slot by slot. */
import { describe, expect, test } from 'vitest';
import { refuseIncomplete } from '../../core/component-shape.ts';

const nothing = (): void => {};
const withMethods = (...names: string[]): object => Object.fromEntries(names.map((name) => [name, nothing]));

describe('what create returns', () => {
  test.each<readonly [slot: string, made: object]>([
    ['reward', withMethods('score')],
    // Methods of a class are not its own.
    [
      'reward',
      new (class {
        score = nothing;
      })(),
    ],
    ['reward', Object.create(withMethods('score')) as object],
    ['reward', { ...withMethods('score'), sees: 'group' }],
    ['dataset', withMethods('open')],
    ['dataset', withMethods('example', 'rationale', 'codecImage', 'prompt', 'corpus')],
    ['benchmark', withMethods('prompts', 'judge')],
    ['benchmark', withMethods('prompts', 'judges', 'gather', 'verdict')],
    ['benchmark', { ...withMethods('prompts'), judgedByRewards: true }],
    ['extension', {}],
    ['a-slot-of-somebody', {}],
  ])('a whole %s is taken', (slot, made) => {
    expect(() => refuseIncomplete(made, slot, 'it')).not.toThrow();
  });

  test.each<readonly [slot: string, made: unknown, message: string, hint: string]>([
    ['reward', undefined, 'no function `score`', 'return an object with `score`'],
    ['reward', nothing, 'no function `score`', 'return an object with `score`'],
    ['reward', { scores: nothing }, 'no function `score`', 'return an object with `score`; it has `scores`'],
    ['reward', { score: 1 }, 'no function `score`', 'return an object with `score`'],
    [
      'reward',
      { score: nothing, sees: 'Batch' },
      '`sees: "Batch"`, which is none',
      'write `sample`, `group` or `batch`, or leave it out: then it is asked about everything at once',
    ],
    ['optimizer', { step: nothing }, 'no function `open`', 'return an object with `open`; it has `step`'],
    [
      'dataset',
      withMethods('example', 'prompt'),
      'no function `rationale`, `codecImage`, `corpus`',
      'return an object with `example`, `rationale`, `codecImage`, `prompt`, `corpus`',
    ],
    ['benchmark', withMethods('judge'), 'no function `prompts`', 'return an object with `prompts`, `judge`'],
    [
      'benchmark',
      withMethods('prompts', 'gather', 'verdict'),
      'no function `judges`',
      'return an object with `prompts`, `judges`, `gather`, `verdict`',
    ],
    [
      'benchmark',
      { judgedByRewards: true },
      'no function `prompts`',
      'return an object with `prompts`; it has `judgedByRewards`',
    ],
  ])('a %s that is none is refused: %j', (slot, made, message, hint) => {
    let thrown: unknown;
    try {
      refuseIncomplete(made, slot, 'it "a" of plugin "b"');
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({
      code: 'BAD_COMPONENT',
      place: 'it "a" of plugin "b"',
      message: `what its \`create\` returned has ${message}`,
      hint,
    });
  });
});
