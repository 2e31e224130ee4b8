/** GenEval's prompts: the published 553 are a function of one seed, and are made here instead of being shipped. Other seeds make other suites. */
import { Pcg64 } from './generator.ts';
import { positions, type Ontology, type Position } from './ontology.ts';

/** Something that must be in the picture. */
export interface Clause {
  readonly class: string;
  readonly count: number;
  readonly color?: string;
  /** Where it must be, seen from what an earlier clause found. */
  readonly position?: readonly [Position, number];
}

/** A line of GenEval's file of prompts. */
export interface GenevalItem {
  readonly tag: string;
  readonly include: readonly Clause[];
  /** The picture fails when there are so many of a class. */
  readonly exclude?: readonly Pick<Clause, 'class' | 'count'>[];
  readonly prompt: string;
}

export const tags = ['single_object', 'two_object', 'counting', 'colors', 'position', 'color_attr'] as const;

/** The seed of the published prompts. */
export const publishedSeed = 43;

const numbers = ['two', 'three', 'four'];

/** Every class once, then `draws` drawings of every other tag, equal ones once. */
export function generatePrompts(ontology: Ontology, seed: number, draws = 100): GenevalItem[] {
  const random = new Pcg64(seed);
  const { classes, colors } = ontology;
  const [ofClasses, ofColors] = [at(classes), at(colors)];
  const things = classes.filter((name) => !ontology.uncolored.includes(name));
  const ofThings = at(things);
  const items: GenevalItem[] = random.distinct(classes.length, classes.length).map((index) => {
    const one = ofClasses(index);
    return { tag: 'single_object', include: [{ class: one, count: 1 }], prompt: `a photo of ${withArticle(one)}` };
  });
  const draw = (make: () => GenevalItem): void => void items.push(...Array.from({ length: draws }, make));
  draw(() => {
    const [one = '', other = ''] = random.distinct(classes.length, 2).map(ofClasses);
    const include = [one, other].map((name) => ({ class: name, count: 1 }));
    return { tag: 'two_object', include, prompt: `a photo of ${withArticle(one)} and ${withArticle(other)}` };
  });
  draw(() => {
    const one = ofClasses(random.below(classes.length));
    const count = 2 + random.below(numbers.length);
    return {
      tag: 'counting',
      include: [{ class: one, count }],
      exclude: [{ class: one, count: count + 1 }],
      prompt: `a photo of ${numbers[count - 2]} ${plural(one)}`,
    };
  });
  draw(() => {
    const one = ofThings(random.below(things.length));
    const color = ofColors(random.below(colors.length));
    return {
      tag: 'colors',
      include: [{ class: one, count: 1, color }],
      prompt: `a photo of ${withArticle(color)} ${one}`,
    };
  });
  draw(() => {
    const [one = '', other = ''] = random.distinct(classes.length, 2).map(ofClasses);
    const relation = positions[random.below(positions.length)] ?? 'left of';
    return {
      tag: 'position',
      include: [
        { class: other, count: 1 },
        { class: one, count: 1, position: [relation, 0] },
      ],
      prompt: `a photo of ${withArticle(one)} ${relation} ${withArticle(other)}`,
    };
  });
  draw(() => {
    const [one = '', other = ''] = random.distinct(things.length, 2).map(ofThings);
    const [first = '', second = ''] = random.distinct(colors.length, 2).map(ofColors);
    return {
      tag: 'color_attr',
      include: [
        { class: one, count: 1, color: first },
        { class: other, count: 1, color: second },
      ],
      prompt: `a photo of ${withArticle(first)} ${one} and ${withArticle(second)} ${other}`,
    };
  });
  const lines = new Set<string>();
  return items.filter((item) => {
    const line = lineOf(item);
    const isNew = !lines.has(line);
    lines.add(line);
    return isNew;
  });
}

/** As the published file writes a prompt: Python's JSON, a space behind every comma and colon. */
export function lineOf({ tag, include, exclude, prompt }: GenevalItem): string {
  return spaced({ tag, include, ...(exclude !== undefined && { exclude }), prompt });
}

function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spaced).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([key, each]) => `${JSON.stringify(key)}: ${spaced(each)}`)
    .join(', ')}}`;
}

function at(list: readonly string[]): (index: number) => string {
  return (index) => list[index] ?? '';
}

function withArticle(name: string): string {
  return /^[aeiou]/.test(name) ? `an ${name}` : `a ${name}`;
}

/** The published file's own rule, which knows no knives and benches. */
function plural(name: string): string {
  return name.endsWith('s') ? `${name}es` : `${name}s`;
}
