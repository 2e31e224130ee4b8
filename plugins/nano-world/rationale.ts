/** The plan written before a picture: three templates over the closed vocabulary, and the way back. */
import type { Specification, Wanted } from './specification.ts';
import { describeSpecification } from './specification.ts';
import { cellName, classNames, colorNames, numberWords, ordinals, plural, withArticle } from './vocabulary.ts';

/** What a rationale says: objects in prompt order with their cells 0–8 in raster order. */
export interface ScenePlan {
  /** True for the wording of counting: "three cakes ; first cake at …". */
  readonly isCount: boolean;
  readonly objects: readonly (Wanted & { readonly cell: number })[];
}

interface Template {
  readonly opening: string;
  readonly preposition: string;
  readonly joiner: string;
  /** Stands after "three cakes". */
  readonly afterCount: string;
}

/** One of these is drawn for each sample. */
export const templates: readonly Template[] = [
  { opening: 'plan :', preposition: 'at', joiner: ';', afterCount: ';' },
  { opening: 'draw', preposition: 'in', joiner: 'and', afterCount: ':' },
  { opening: 'the scene has', preposition: 'at the', joiner: ',', afterCount: ';' },
];

/** The plan of objects placed in `cells` (one per object, in prompt order), worded by template 0, 1 or 2. */
export function rationaleOf(specification: Specification, cells: readonly number[], template: number): string {
  const { wanted, count } = specification;
  const first = wanted[0];
  if (count === undefined || !first) {
    return write(
      { isCount: false, objects: wanted.map((one, index) => ({ ...one, cell: cells[index] ?? 0 })) },
      template,
    );
  }
  return write({ isCount: true, objects: cells.slice(0, count).map((cell) => ({ ...first, cell })) }, template);
}

/** Reads a rationale; undefined when it is not, word for word, one of the templates. */
export function parseRationale(text: string): ScenePlan | undefined {
  for (const [index, template] of templates.entries()) {
    if (!text.startsWith(`${template.opening} `) || !text.endsWith(' .')) continue;
    const body = text.slice(template.opening.length + 1, -2);
    const plan = parseCount(body, template) ?? parseList(body, template);
    // Writing the plan again rejects whatever a lenient reader let through: wrong article, order, number.
    if (plan && write(plan, index) === text) return plan;
  }
  return undefined;
}

/** True when a plan names exactly the objects, colors and number its specification asks for, in that order. */
export function planNames(plan: ScenePlan, { wanted, count }: Specification): boolean {
  const expected =
    count === undefined
      ? wanted.map(describeSpecification)
      : Array.from({ length: count }, () => describeSpecification(wanted[0] as Wanted));
  return (
    plan.isCount === (count !== undefined) && plan.objects.map(describeSpecification).join('|') === expected.join('|')
  );
}

function write({ isCount, objects }: ScenePlan, index: number): string {
  const { opening, preposition, joiner, afterCount } = templates[index] as Template;
  const places = objects.map(({ cell }) => `${preposition} ${cellName(cell)}`);
  const first = objects[0];
  if (isCount && first) {
    const items = objects.map(({ name }, at) => `${ordinals[at]} ${name} ${places[at]}`).join(' ; ');
    return `${opening} ${numberWords[objects.length]} ${plural(first.name)} ${afterCount} ${items} .`;
  }
  const items = objects.map((one, at) => `${withArticle(describeSpecification(one))} ${places[at]}`);
  return `${opening} ${items.join(` ${joiner} `)} .`;
}

function parseCount(body: string, { preposition, afterCount }: Template): ScenePlan | undefined {
  const cut = body.indexOf(` ${afterCount} `);
  const name = classNames.find((one) => cut > 0 && body.slice(0, cut).endsWith(` ${plural(one)}`));
  if (!name) return undefined;
  const cells = body
    .slice(cut + afterCount.length + 2)
    .split(' ; ')
    .map((item) => splitPlace(item, preposition)?.cell);
  if (cells.length > ordinals.length || !cells.every((cell) => cell !== undefined)) return undefined;
  return { isCount: true, objects: cells.map((cell) => ({ name, cell })) };
}

function parseList(body: string, { preposition, joiner }: Template): ScenePlan | undefined {
  const objects = body.split(` ${joiner} `).map((item) => {
    const place = splitPlace(item, preposition);
    const wanted = place && nounPhrases().find((one) => withArticle(describeSpecification(one)) === place.phrase);
    return wanted && { ...wanted, cell: place.cell };
  });
  return objects.every((one) => one !== undefined) ? { isCount: false, objects } : undefined;
}

/** "a red car at top left" into "a red car" and cell 0. */
function splitPlace(item: string, preposition: string): { phrase: string; cell: number } | undefined {
  for (let cell = 0; cell < 9; cell++) {
    const place = ` ${preposition} ${cellName(cell)}`;
    if (item.endsWith(place)) return { phrase: item.slice(0, -place.length), cell };
  }
  return undefined;
}

function nounPhrases(): Wanted[] {
  return classNames.flatMap((name) => [{ name }, ...colorNames.map((color) => ({ name, color }))]);
}
