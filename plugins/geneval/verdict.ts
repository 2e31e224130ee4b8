/** GenEval's rules: what a detector found, and what color each object has, to right or wrong. Pure. */
import type { Atom, Verdict } from '../../core/plugin.ts';
import type { Ontology, Position } from './ontology.ts';
import type { Clause, GenevalItem } from './prompts.ts';

type Box = readonly [x1: number, y1: number, x2: number, y2: number];

/** An object of a class that the rules know. */
export interface FoundObject {
  readonly class: string;
  readonly score: number;
  readonly box: Box;
}

export interface Evidence {
  /** All classes, the surest first. */
  readonly objects: readonly FoundObject[];
  /** By number of the include clause: the color of each object of its class, in their order; of as many as were looked at. */
  readonly colors: Readonly<Record<string, readonly string[]>>;
}

/** `corrected`: any object of the class may have the color and stand in the relation, not only the surest. */
export type GenevalMode = 'official' | 'corrected';

/** The objects of each class that count: above the threshold of the task, at most so many of a class. */
export function countedObjects(
  objects: readonly FoundObject[],
  tag: string,
  ontology: Ontology,
): Map<string, FoundObject[]> {
  const threshold = tag === 'counting' ? ontology.countingThreshold : ontology.threshold;
  const byClass = new Map<string, FoundObject[]>();
  for (const object of objects.filter(({ score }) => score > threshold).toSorted((a, b) => b.score - a.score)) {
    const some = byClass.get(object.class) ?? [];
    if (some.length < ontology.mostOfAClass) byClass.set(object.class, [...some, object]);
  }
  return byClass;
}

/** All positions of `a` to `b` that hold; two may, and none where they overlap too much. */
export function positionsOf(a: Box, b: Box, margin: number): Position[] {
  const offset = [0, 1].map((axis) => center(a, axis) - center(b, axis));
  const rest = offset.map((value, axis) => {
    const shrunk = Math.abs(value) - margin * (size(a, axis) + size(b, axis));
    return Math.sign(value) * Math.max(shrunk, 0);
  });
  if (rest.every((value) => Math.abs(value) < 0.001)) return [];
  const length = Math.hypot(...offset);
  const [x = 0, y = 0] = rest.map((value) => value / length);
  const all: (readonly [Position, boolean])[] = [
    ['left of', x < -0.5],
    ['right of', x > 0.5],
    ['above', y < -0.5],
    ['below', y > 0.5],
  ];
  return all.filter(([, holds]) => holds).map(([relation]) => relation);
}

function center(box: Box, axis: number): number {
  return ((box[axis] ?? 0) + (box[axis + 2] ?? 0)) / 2;
}

function size(box: Box, axis: number): number {
  return (box[axis + 2] ?? 0) - (box[axis] ?? 0);
}

export function judgePicture(item: GenevalItem, evidence: Evidence, mode: GenevalMode, ontology: Ontology): Verdict {
  const counted = countedObjects(evidence.objects, item.tag, ontology);
  const atoms: Atom[] = [];
  const reasons: string[] = [];
  /** What each clause found; nothing where it failed. */
  const groups: (readonly FoundObject[] | undefined)[] = [];
  const decide = (kind: string, what: string, isRight: boolean, reason: string): boolean => {
    atoms.push({ id: `${atoms.length + 1} ${what}`, kind, score: Number(isRight) });
    if (!isRight) reasons.push(reason);
    return isRight;
  };
  item.include.forEach((clause, number) => {
    const all = counted.get(clause.class) ?? [];
    const colors = evidence.colors[String(number)] ?? [];
    groups.push(clauseGroup(clause, all, colors, groups, { decide, mode, ontology }));
  });
  for (const { class: name, count } of item.exclude ?? []) {
    const found = counted.get(name)?.length ?? 0;
    decide('exclude', `fewer than ${count} of ${name}`, found < count, `expected ${name}<${count}, found ${found}`);
  }
  const isRight = reasons.length === 0;
  const inventory = [...counted].map(([name, some]) => `${some.length} ${name}`).join(', ');
  return {
    pass: isRight,
    why: isRight ? `found ${inventory}` : `${reasons.join('; ')} (found ${inventory === '' ? 'nothing' : inventory})`,
    parts: { atoms: atoms.reduce((sum, { score }) => sum + score, 0) / Math.max(1, atoms.length) },
    atoms,
  };
}

interface Rules {
  readonly decide: (kind: string, what: string, isRight: boolean, reason: string) => boolean;
  readonly mode: GenevalMode;
  readonly ontology: Ontology;
}

/** What a clause found, when it holds. */
function clauseGroup(
  clause: Clause,
  all: readonly FoundObject[],
  colors: readonly string[],
  groups: readonly (readonly FoundObject[] | undefined)[],
  { decide, mode, ontology }: Rules,
): readonly FoundObject[] | undefined {
  const { class: name, count, color, position } = clause;
  const surest = all.slice(0, count);
  const expected = `expected ${name}>=${count}, found ${all.length}`;
  let holds = decide('object', `${count} of ${name}`, surest.length >= count, expected);
  let group = mode === 'official' ? surest : all;
  if (color !== undefined) {
    const matching = group.filter((_, index) => colors[index] === color);
    const seen = colors.slice(0, group.length).join(', ');
    const isColored = holds && matching.length >= count;
    const reason = `expected ${color} ${name}>=${count}, found ${matching.length} ${color}${seen === '' ? '' : ` among ${seen}`}`;
    // A color of nothing is no reason of its own.
    if (holds) holds = decide('color', `${color} ${name}`, isColored, reason);
    else decide('color', `${color} ${name}`, false, `no ${name} to be ${color}`);
    if (mode === 'corrected') group = matching;
  }
  if (position !== undefined) {
    const [relation, target] = position;
    const others = groups[target];
    if (!holds) decide('position', relation, false, `no ${name} to be ${relation} it`);
    else if (others === undefined) holds = decide('position', relation, false, 'no target for the relation');
    else {
      const pairs = group.flatMap((a) => others.map((b) => positionsOf(a.box, b.box, ontology.positionMargin)));
      const isRelated = (found: readonly Position[]): boolean => found.includes(relation);
      const isRight = mode === 'official' ? pairs.every(isRelated) : pairs.some(isRelated);
      const seen = [...new Set(pairs.flat())].join(' and ') || 'in no clear direction from';
      holds = decide('position', relation, isRight, `expected ${name} ${relation} target, found it ${seen} target`);
    }
  }
  return holds ? group : undefined;
}
