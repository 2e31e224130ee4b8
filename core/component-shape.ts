/** Whether what `create` returned is what its slot holds: types do not bind a JavaScript author, and a slip is better told than met later. */
import type { Reward } from './contracts/reward.ts';
import type { Slots } from './contracts/slots.ts';
import { ReasongenError } from './errors.ts';

type MethodOf<Made> = Made extends unknown
  ? { [Key in keyof Made & string]: Made[Key] extends (...args: never[]) => unknown ? Key : never }[keyof Made & string]
  : never;

/** For each slot the sets of methods of which one must be there whole; a judge may have any, and is looked at by itself. */
const forms: { readonly [Name in keyof Slots]?: readonly (readonly MethodOf<Slots[Name]>[])[] } = {
  reward: [['score']],
  optimizer: [['open']],
  executor: [['open']],
  communicator: [['allGather', 'reduceScatter', 'end']],
  recipe: [['plan', 'run']],
  tokenizer: [['encode', 'decode', 'prompt', 'unconditional']],
  imageTokenizer: [['encode', 'decode', 'codebook']],
  backbone: [['hidden', 'step', 'embedText', 'embedImage', 'textLogits', 'imageLogits']],
  dataset: [['example', 'rationale', 'codecImage', 'prompt', 'corpus'], ['open']],
  benchmark: [
    ['prompts', 'judge'],
    ['prompts', 'judges', 'gather', 'verdict'],
  ],
};

/** Throws BAD_COMPONENT for what lacks a method of its slot. `who`: `reward "mine" of plugin "shop"`. */
export function refuseIncomplete(made: unknown, slot: string, who: string): void {
  const whole = forms[slot as keyof Slots];
  if (whole === undefined) return;
  const given = typeof made === 'object' && made !== null ? made : {};
  if (slot === 'reward') refuseUnknownSight(given, who);
  const has = (name: string): boolean => typeof (given as Readonly<Record<string, unknown>>)[name] === 'function';
  // Rewards judge for such a benchmark.
  const wanted: readonly (readonly string[])[] = 'judgedByRewards' in given ? [['prompts']] : whole;
  if (wanted.some((form) => form.every(has))) return;
  // The form that the author began.
  const [form = []] = wanted.toSorted((a, b) => b.filter(has).length - a.filter(has).length);
  const others = Object.keys(given).filter((name) => !form.includes(name));
  throw new ReasongenError({
    code: 'BAD_COMPONENT',
    message: `what its \`create\` returned has no function ${listed(form.filter((name) => !has(name)))}`,
    place: who,
    hint: `return an object with ${listed(form)}${others.length === 0 ? '' : `; it has ${listed(others)}`}`,
  });
}

const sights: readonly unknown[] = ['sample', 'group', 'batch', undefined] satisfies readonly Reward['sees'][];

/** A word that is none would pass for `sample`, and a reward that compares drawings be asked about some of them. */
function refuseUnknownSight(made: Partial<Record<keyof Reward, unknown>>, who: string): void {
  if (sights.includes(made.sees)) return;
  throw new ReasongenError({
    code: 'BAD_COMPONENT',
    message: `what its \`create\` returned has \`sees: ${JSON.stringify(made.sees)}\`, which is none`,
    place: who,
    hint: 'write `sample`, `group` or `batch`, or leave it out: then it is asked about everything at once',
  });
}

function listed(names: readonly string[]): string {
  return names.map((name) => `\`${name}\``).join(', ');
}
