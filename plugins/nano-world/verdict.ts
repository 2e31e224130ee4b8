/** GenEval's rules on what the detector found, and the same in words for a person. */
import { blobPixels } from './detector.ts';
import type { FoundSprite, Inspection } from './detector.ts';
import { relationsOf } from './scene.ts';
import { demandOf, describeSpecification } from './specification.ts';
import type { Specification, Wanted } from './specification.ts';
import { cellName, classNames, colorNames, plural } from './vocabulary.ts';

/** How one picture stands against its specification. Atoms are shares in [0, 1]. */
export interface SceneVerdict {
  /** GenEval: everything asked for is there; other objects are free. */
  readonly geneval: boolean;
  /** GenEval, and exactly the expected number of objects, and no unexplained paint. */
  readonly strict: boolean;
  /** One atom for each wanted object; empty in `counting`. */
  readonly present: readonly number[];
  /** One atom for each color named. */
  readonly colored: readonly number[];
  /** Task `position`: 1 when the relation holds. */
  readonly relation?: number;
  /** Task `counting`: 1 - |n - N| / N, at least 0. */
  readonly count?: number;
  /** 1 when there is nothing but what was asked for. */
  readonly clean: number;
  /** "expected two cakes, found 1 cake (top left) and 1 apple (middle center)". */
  readonly why: string;
}

/** Judges what was found in a picture. */
export function judgeScene(specification: Specification, inspection: Inspection): SceneVerdict {
  const { wanted, count, relation } = specification;
  const found = wanted.map((one) => inspection.detections.filter((each) => classNames[each.classIndex] === one.name));
  // GenEval looks at the best-scored instance when it tests a color or a relation.
  const best = found.map((instances) => instances[0]);
  const present = count === undefined ? best.map((one) => Number(one !== undefined)) : [];
  const named = wanted.flatMap((one, index) => (one.color ? [{ one, match: best[index] }] : []));
  const colored = named.map(({ one, match }) => Number(match !== undefined && colorOf(match) === one.color));
  const [a, b] = best;
  const related =
    relation && Number(a !== undefined && b !== undefined && relationsOf(a.box, b.box).includes(relation));
  const counted = count && Math.max(0, 1 - Math.abs((found[0]?.length ?? 0) - count) / count);
  const geneval = [...present, ...colored, related ?? 1, counted ?? 1].every((atom) => atom === 1);
  const isClean =
    inspection.detections.length === (count ?? wanted.length) && inspection.unexplainedPixels <= blobPixels;
  const strict = geneval && isClean;
  return {
    geneval,
    strict,
    present,
    colored,
    ...(related === undefined ? {} : { relation: related }),
    ...(counted === undefined ? {} : { count: counted }),
    clean: Number(isClean),
    why: explain(specification, inspection, strict, best),
  };
}

/** Mean of the atoms; `clean` is one of them only where the strict verdict is asked for. */
export function gradeOf({ present, colored, relation, count, clean }: SceneVerdict, isStrict: boolean): number {
  const atoms = [...present, ...colored, relation, count, isStrict ? clean : undefined].filter(
    (atom) => atom !== undefined,
  );
  return mean(atoms);
}

/** The parts of a judgement by name, for metrics; a part appears only where the task has it. */
export function partsOf(judgement: SceneVerdict): Record<string, number> {
  const { geneval, strict, present, colored, relation, count, clean } = judgement;
  return {
    geneval: Number(geneval),
    strict: Number(strict),
    ...(present.length > 0 ? { objects: mean(present) } : {}),
    ...(colored.length > 0 ? { colors: mean(colored) } : {}),
    ...(relation === undefined ? {} : { relation }),
    ...(count === undefined ? {} : { count }),
    clean,
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function colorOf(detection: FoundSprite): string | undefined {
  return colorNames[detection.look - 1];
}

function explain(
  specification: Specification,
  inspection: Inspection,
  isRight: boolean,
  best: readonly (FoundSprite | undefined)[],
): string {
  const inventory = listOf(inspection.detections);
  if (isRight) return `found ${inventory}`;
  const [a, b] = best;
  const notes: string[] = [];
  if (specification.relation && a && b) notes.push(...relationNote(specification, a, b));
  if (inspection.unexplainedPixels > blobPixels) {
    notes.push(`${inspection.unexplainedPixels} painted pixels belong to no known object`);
  }
  return [`expected ${demandOf(specification)}, found ${inventory}`, ...notes].join('; ');
}

function relationNote({ wanted, relation }: Specification, a: FoundSprite, b: FoundSprite): string[] {
  const holding = relationsOf(a.box, b.box);
  if (!relation || holding.includes(relation)) return [];
  const [first, second] = wanted;
  const actual = holding.length > 0 ? holding.join(' and ') : 'in no clear direction from';
  return [`the ${first?.name} is ${actual} the ${second?.name}`];
}

/** "2 red cakes (top left, middle center) and 1 apple (bottom right)", in order of the cells. */
function listOf(detections: readonly FoundSprite[]): string {
  const groups = new Map<string, FoundSprite[]>();
  for (const detection of [...detections].sort((a, b) => a.cell - b.cell)) {
    const words = describeSpecification(wantedOf(detection));
    groups.set(words, [...(groups.get(words) ?? []), detection]);
  }
  const items = [...groups].map(([words, members]) => {
    const places = members.map((member) => cellName(member.cell)).join(', ');
    return `${members.length} ${members.length === 1 ? words : plural(words)} (${places})`;
  });
  const last = items.pop();
  if (last === undefined) return 'nothing it knows';
  return items.length > 0 ? `${items.join(', ')} and ${last}` : last;
}

function wantedOf(detection: FoundSprite): Wanted {
  const name = classNames[detection.classIndex];
  if (!name) throw new RangeError(`There is no class ${detection.classIndex}.`);
  const color = colorNames[detection.look - 1];
  return color ? { name, color } : { name };
}
