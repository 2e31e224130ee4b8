/**
 * Pairs of pictures of the nano world for one prompt: one shows what it asks for, the other all of it but one thing. A judge that cannot
 * tell them apart rewards nothing. Pure functions of a seed.
 */
import type { Image } from '../../core/contracts/image.ts';
import { drawStream } from '../../plugins/nano-world/random.ts';
import { drawScene, render, type PlacedObject } from '../../plugins/nano-world/scene.ts';
import {
  drawSpecification,
  promptOf,
  specificationSpace,
  type Specification,
} from '../../plugins/nano-world/specification.ts';
import { createSpriteSheet } from '../../plugins/nano-world/sprites.ts';
import { colorNames } from '../../plugins/nano-world/vocabulary.ts';

/** What is wrong with the wrong one: one object too many or too few, one color, the side on which something stands. */
export type Miss = 'count' | 'color' | 'side';
const misses: readonly Miss[] = ['count', 'color', 'side'];

export interface NearMiss {
  readonly prompt: string;
  readonly miss: Miss;
  readonly specification: Specification;
  /** The same as GenEval writes it down. */
  readonly metadata: {
    readonly tag: string;
    readonly include: readonly {
      readonly class: string;
      readonly count: number;
      readonly color?: string;
      readonly position?: readonly [string, number];
    }[];
    readonly exclude?: readonly { readonly class: string; readonly count: number }[];
  };
  readonly right: Image;
  readonly wrong: Image;
}

/** `count` pairs, the three kinds in turn. */
export function nearMisses(count: number, seed: number): NearMiss[] {
  const space = specificationSpace();
  const sheet = createSpriteSheet();
  const random = drawStream(seed, 77, 0);
  const draw = (objects: readonly PlacedObject[]): Image => ({ width: 48, height: 48, data: render(objects, sheet) });
  return Array.from({ length: count }, (_, index) => {
    const miss = misses[index % misses.length] as Miss;
    let specification = drawSpecification(space, 'seen', random);
    while (!fits(specification, miss)) specification = drawSpecification(space, 'seen', random);
    const objects = drawScene(specification, sheet, random);
    const spoilt = spoil(objects, miss, random.below(1000));
    return {
      ...{ prompt: promptOf(specification), miss, specification },
      metadata: metadataOf(specification),
      right: draw(objects),
      wrong: draw(spoilt),
    };
  });
}

function fits({ count, relation, wanted }: Specification, miss: Miss): boolean {
  if (miss === 'count') return count !== undefined;
  return miss === 'side' ? relation !== undefined : wanted.some(({ color }) => color !== undefined);
}

function spoil(objects: readonly PlacedObject[], miss: Miss, choice: number): PlacedObject[] {
  const [first, second] = objects as [PlacedObject, PlacedObject];
  if (miss === 'side')
    return [
      { ...first, cell: second.cell },
      { ...second, cell: first.cell },
    ];
  if (miss === 'color') {
    const which = choice % objects.length;
    // Looks are numbered from 1; the color of the other object is one of the wrong ones.
    return objects.map((object, index) =>
      index === which
        ? { ...object, look: ((object.look + (choice % (colorNames.length - 1))) % colorNames.length) + 1 }
        : object,
    );
  }
  const free = [0, 1, 2, 3, 4, 5, 6, 7, 8].filter((cell) => objects.every((object) => object.cell !== cell));
  return choice % 2 === 0 ? objects.slice(1) : [...objects, { ...first, cell: free[choice % free.length] ?? 0 }];
}

function metadataOf({ task, wanted, count, relation }: Specification): NearMiss['metadata'] {
  const [first, second] = wanted;
  if (count !== undefined)
    return {
      tag: task,
      include: [{ class: first?.name ?? '', count }],
      exclude: [{ class: first?.name ?? '', count: count + 1 }],
    };
  // GenEval lists what the relation is told from first.
  if (relation !== undefined)
    return {
      tag: task,
      include: [
        { class: second?.name ?? '', count: 1 },
        { class: first?.name ?? '', count: 1, position: [relation, 0] },
      ],
    };
  return {
    tag: task,
    include: wanted.map(({ name, color }) => ({ class: name, count: 1, ...(color !== undefined && { color }) })),
  };
}
