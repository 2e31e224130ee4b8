/** A judge with a script: it sees the sprites of the nano world and answers what is asked about objects, counts, colors and sides. */
import { createHash } from 'node:crypto';
import type { Image } from '../../core/contracts/image.ts';
import type { Judge } from '../../core/contracts/judge.ts';
import { once } from '../../core/once.ts';
import { createDetector, type FoundSprite } from '../../plugins/nano-world/detector.ts';
import { relationsOf } from '../../plugins/nano-world/scene.ts';
import { createSpriteSheet } from '../../plugins/nano-world/sprites.ts';
import { classNames, colorNames, relations } from '../../plugins/nano-world/vocabulary.ts';

/** Whether something is so, from what was found. */
type Truth = (found: readonly FoundSprite[]) => boolean;

const some = new RegExp(`^Is there (?:a|at least one) (${classNames.join('|')}) in the picture\\?$`);
const exactly = new RegExp(`^Are there exactly (\\d) of them in the picture: (${classNames.join('|')})\\?$`);
const colored = new RegExp(`^Is the (${classNames.join('|')}) (${colorNames.join('|')})\\?$`);
const placed = new RegExp(
  `^Is the (${classNames.join('|')}) (${relations.join('|')}) the (${classNames.join('|')})\\?$`,
);

function truthOf(question: string): Truth {
  const of = (found: readonly FoundSprite[], name = ''): FoundSprite[] =>
    found.filter(({ classIndex }) => classNames[classIndex] === name);
  const match = (pattern: RegExp): RegExpExecArray | undefined => pattern.exec(question) ?? undefined;
  const [, thing] = match(some) ?? [];
  if (thing !== undefined) return (found) => of(found, thing).length > 0;
  const [, count, counted] = match(exactly) ?? [];
  if (counted !== undefined) return (found) => of(found, counted).length === Number(count);
  const [, painted, color] = match(colored) ?? [];
  if (painted !== undefined) return (found) => of(found, painted).some(({ look }) => colorNames[look - 1] === color);
  const [, first, relation, second] = match(placed) ?? [];
  if (first !== undefined)
    return (found) =>
      of(found, first).some((a) =>
        of(found, second).some((b) => relationsOf(a.box, b.box).some((each) => each === relation)),
      );
  throw new Error(`the script does not know what to say to: ${question}`);
}

const detector = once(() => createDetector(createSpriteSheet()));
/** A picture is looked at once, whatever is asked about it. */
const seen = new WeakMap<Uint8Array, readonly FoundSprite[]>();

function lookAt({ data }: Image): readonly FoundSprite[] {
  const found = seen.get(data) ?? detector()(data).detections;
  seen.set(data, found);
  return found;
}

/**
 * `unsure`: how far from certain an answer may be, by chance of picture and question. A judge that is `blind` says what chance says.
 * `written`: what it answers when it is to write questions.
 */
export function sceneEye(unsure: number, { blind = false, written = '[]' } = {}): Judge {
  const chance = (image: Image, question: string): number =>
    createHash('sha256').update(image.data).update(question).digest().readUInt32LE() / 2 ** 32;
  const yes = (image: Image, asked: string): number => {
    const question = asked.replace(' Answer with one word, yes or no.', '');
    const doubt = chance(image, question);
    if (blind) return doubt;
    return truthOf(question)(lookAt(image)) ? 1 - unsure * doubt : unsure * doubt;
  };
  return {
    ...{ title: 'scene eye', name: 'eye', fingerprint: { script: 'nano world', unsure: String(unsure) } },
    answer: async (image, question) => (yes(image, question) >= 0.5 ? 'yes' : 'no'),
    answerProbabilities: async (image, question, answers) =>
      answers.map((spellings) => (spellings.includes('yes') ? yes(image, question) : 1 - yes(image, question))),
    write: async () => written,
  };
}
