/** Whether what `create` returned is what its slot holds: types do not bind a JavaScript author, and a slip is better told than met later. */
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

function listed(names: readonly string[]): string {
  return names.map((name) => `\`${name}\``).join(', ');
}
