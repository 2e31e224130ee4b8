/** What a judge of the nano world is taught: pictures, questions about them, and the right answers, which are the detector's. */
import type { Image } from '../../../core/contracts/image.ts';
import { createDetector, type Inspection } from '../../../plugins/nano-world/detector.ts';
import { drawStream, type RandomStream } from '../../../plugins/nano-world/random.ts';
import { canvasSize, drawScene, render } from '../../../plugins/nano-world/scene.ts';
import {
  describeSpecification,
  drawSpecification,
  promptOf,
  specificationSpace,
  type Specification,
  type Wanted,
} from '../../../plugins/nano-world/specification.ts';
import { createSpriteSheet } from '../../../plugins/nano-world/sprites.ts';
import { judgeScene } from '../../../plugins/nano-world/verdict.ts';
import { cellName, classNames, colorNames, withArticle, type Task } from '../../../plugins/nano-world/vocabulary.ts';

export interface Lesson {
  readonly image: Image;
  readonly question: string;
  readonly answer: string;
  /** Whether it is answered by yes or no. */
  readonly isVerdict: boolean;
  /** What is in each of the nine cells. */
  readonly cells: readonly (Wanted | undefined)[];
}

/** A picture, and what the detector finds in it. */
export interface SeenPicture {
  readonly image: Image;
  readonly inspection: Inspection;
  /** Of drawings: what was asked for. */
  readonly prompt?: string;
}

/** Which questions are asked: the share of drawings that are judged by their own prompt, then the kinds of the rest, up to which share of them. */
export interface Mix {
  readonly ownPrompt: number;
  readonly inventory: number;
  readonly cell: number;
  readonly retrieval: number;
  readonly presence: number;
}

/** The tasks that it judges. */
export const judgedTasks: readonly Task[] = ['two_object', 'colors'];

/** The question of a verdict; {prompt} stands for the prompt. */
export const verdictInstruction = 'Is this {prompt}, and nothing else? Answer yes or no.';

const sheet = createSpriteSheet();
const space = specificationSpace();
export const detect = createDetector(sheet);
export const side = canvasSize;

/** A scene that was rendered rather than drawn: another one for every index. */
export function renderedPicture(seed: number, index: number): SeenPicture {
  const random = drawStream(seed, 21, index);
  const data = render(drawScene(drawSpecification(space, 'seen', random), sheet, random), sheet);
  return { image: { width: side, height: side, data }, inspection: detect(data) };
}

/** Prompts of the judged tasks; of those that are seen in training a few whose objects have two colors, which show more kinds of mistakes. */
export function promptsToDraw(split: 'seen' | 'heldout', count: number): string[] {
  const prompts: string[] = [];
  for (let index = 0; prompts.length < count; index++) {
    const specification = drawSpecification(space, split, drawStream(77, 9, index));
    const { task } = specification;
    const isAttribute = split === 'seen' && task === 'color_attr' && index % 2 === 0;
    if (judgedTasks.includes(task) || isAttribute) prompts.push(promptOf(specification));
  }
  return prompts;
}

/** Asks whether a drawing shows its prompt. */
export function ownVerdict(picture: SeenPicture & { readonly prompt: string }): Lesson {
  const specification = space.ofPrompt(picture.prompt);
  if (specification === undefined) throw new RangeError(`not of this world: ${picture.prompt}`);
  return verdictLesson(picture, specification);
}

/** One question about a picture. */
export function lessonOn(picture: SeenPicture, mix: Mix, random: RandomStream): Lesson {
  const { image, inspection, prompt } = picture;
  const own = mix.ownPrompt === 0 || prompt === undefined ? undefined : space.ofPrompt(prompt);
  if (own !== undefined && judgedTasks.includes(own.task) && random.uniform() < mix.ownPrompt)
    return verdictLesson(picture, own);
  const cells = cellsOf(inspection);
  const about = { image, cells };
  const kind = random.uniform();
  if (kind < mix.inventory)
    return { ...about, question: 'What is in the picture?', answer: inventoryOf(inspection), isVerdict: false };
  if (kind < mix.cell) {
    const cell = random.below(9);
    const there = cells[cell];
    const answer = there === undefined ? 'nothing' : withArticle(describeSpecification(there));
    return { ...about, question: `What is at the ${cellName(cell)}?`, answer, isVerdict: false };
  }
  if (kind < mix.retrieval) return { ...about, ...retrieval(inspection, cells, random), isVerdict: false };
  if (kind < mix.presence) return { ...about, ...presence(inspection, cells, random), isVerdict: true };
  return verdictLesson(picture, askedOf(inspection, random));
}

function verdictLesson({ image, inspection }: SeenPicture, specification: Specification): Lesson {
  return {
    image,
    question: verdictInstruction.replace('{prompt}', promptOf(specification)),
    answer: judgeScene(specification, inspection).strict ? 'yes' : 'no',
    isVerdict: true,
    cells: cellsOf(inspection),
  };
}

type Asked = Pick<Lesson, 'question' | 'answer'>;
type Cells = Lesson['cells'];

/** What has this color, or which color has this: an answer in one word teaches more of finding things than yes or no. */
function retrieval(inspection: Inspection, cells: Cells, random: RandomStream): Asked {
  const there = someOf(inspection, random);
  const isTrue = random.uniform() < 0.75;
  const only = (words: readonly string[]): string => {
    const [first] = words;
    if (first === undefined) return 'nothing';
    return words.every((word) => word === first) ? first : 'is';
  };
  if (random.uniform() < 0.5) {
    const name = isTrue && there ? there.name : random.pick(classNames);
    const own = cells.filter((one) => one?.name === name).map((one) => one?.color ?? 'a photo');
    return { question: `What is the ${name}?`, answer: only(own) };
  }
  const color = isTrue && there?.color ? there.color : random.pick(colorNames);
  const own = cells.flatMap((one) => (one?.color === color ? [one.name] : []));
  return { question: `What is ${color}?`, answer: only(own) };
}

/** Whether something is there: a prompt is a conjunction of such. */
function presence(inspection: Inspection, cells: Cells, random: RandomStream): Asked {
  const there = someOf(inspection, random);
  const form = random.below(3);
  const isTrue = random.uniform() < 0.5;
  const name = isTrue && there ? there.name : random.pick(classNames);
  const color = isTrue && there?.color ? there.color : random.pick(colorNames);
  const wanted: Wanted = form === 0 ? { name } : { name, color };
  const text = form === 1 ? `something ${color}` : withArticle(describeSpecification(wanted));
  const holds = cells.some(
    (one) => one !== undefined && (form === 1 || one.name === name) && (form === 0 || one.color === color),
  );
  return { question: `Is there ${text}? Answer yes or no.`, answer: holds ? 'yes' : 'no' };
}

/** What the picture shows, or that with a word of it changed, in the words of a judged task. */
function askedOf(inspection: Inspection, random: RandomStream): Specification {
  const found = random.shuffled(inspection.detections.map(({ classIndex, look }) => wantedOf(classIndex, look)));
  const [a, b] = found;
  const task = found.length === 1 ? 'colors' : found.length === 2 ? 'two_object' : random.pick(judgedTasks);
  const shown = shownAs(task, a, b, random);
  if (random.uniform() < 0.5) return shown;
  const at = random.below(shown.wanted.length);
  return { ...shown, wanted: shown.wanted.map((one, index) => (index === at ? changed(one, random) : one)) };
}

function shownAs(task: Task, a: Wanted | undefined, b: Wanted | undefined, random: RandomStream): Specification {
  if (a === undefined)
    return { task: 'colors', wanted: [{ name: random.pick(classNames), color: random.pick(colorNames) }] };
  if (task === 'two_object' && b !== undefined) return { task, wanted: [{ name: a.name }, { name: b.name }] };
  return { task: 'colors', wanted: [{ name: a.name, color: a.color ?? random.pick(colorNames) }] };
}

function changed({ name, color }: Wanted, random: RandomStream): Wanted {
  if (color !== undefined && random.uniform() < 0.6) return { name, color: random.pick(colorNames) };
  const other = random.pick(classNames);
  return color === undefined ? { name: other } : { name: other, color };
}

function someOf({ detections }: Inspection, random: RandomStream): Wanted | undefined {
  const found = random.pick(detections.length === 0 ? [undefined] : detections);
  return found && wantedOf(found.classIndex, found.look);
}

function wantedOf(classIndex: number, look: number): Wanted {
  const name = classNames[classIndex] ?? 'cat';
  const color = colorNames[look - 1];
  return color === undefined ? { name } : { name, color };
}

function inventoryOf({ detections }: Inspection): string {
  if (detections.length === 0) return 'nothing';
  return [...detections]
    .sort((x, y) => x.cell - y.cell)
    .map(({ classIndex, look }) => withArticle(describeSpecification(wantedOf(classIndex, look))))
    .join(', ');
}

function cellsOf({ detections }: Inspection): Cells {
  return Array.from({ length: 9 }, (_, cell) => {
    const found = detections.find((each) => each.cell === cell);
    return found && wantedOf(found.classIndex, found.look);
  });
}
