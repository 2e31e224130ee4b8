/** Scenes: which sprite stands where, GenEval's position rule, and the picture of a scene. */
import type { RandomStream } from './random.ts';
import type { Specification, Wanted } from './specification.ts';
import { spriteSizes } from './sprites.ts';
import type { Sprite, SpriteSheet, SpriteSize } from './sprites.ts';
import { classNames, colorNames, relations } from './vocabulary.ts';
import type { Relation } from './vocabulary.ts';

/** Side of the square canvas and of one of its 3 × 3 cells, in pixels. */
export const canvasSize = 48;
export const cellSize = 16;
/** Flat cool gray-blue, RGB 0–255. White sprite parts and all tints stay distinguishable on it. */
export const background = [214, 224, 234] as const;

/** A sprite in a cell (0–8, raster order), moved by (dx, dy) in {-1, 0, 1} from its center. */
export interface PlacedObject {
  readonly classIndex: number;
  readonly look: number;
  readonly cell: number;
  readonly size: SpriteSize;
  readonly dx: number;
  readonly dy: number;
}

/** Left, top, right, bottom in pixels; right and bottom are exclusive. */
export type Edges = readonly [number, number, number, number];

/** The box of a sprite placed on the canvas; it may stick out by one pixel. */
export function boxOf(object: PlacedObject, sprite: Sprite): Edges {
  const left = (object.cell % 3) * cellSize + Math.floor((cellSize - sprite.width) / 2) + object.dx;
  const top = Math.floor(object.cell / 3) * cellSize + Math.floor((cellSize - sprite.height) / 2) + object.dy;
  return [left, top, left + sprite.width, top + sprite.height];
}

/**
 * The relations of box `a` to box `b` by GenEval's rule: the offset of the centers, shrunk by 0.1 of the summed
 * sizes, over the length of the unshrunk offset, must exceed ½. Two relations may hold at once, or none.
 */
export function relationsOf(a: Edges, b: Edges): Relation[] {
  const offset = [a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]].map((twice) => twice / 2);
  const sizes = [a[2] - a[0] + b[2] - b[0], a[3] - a[1] + b[3] - b[1]];
  const length = Math.hypot(...offset);
  const [x = 0, y = 0] = offset.map((o, axis) => Math.sign(o) * Math.max(Math.abs(o) - 0.1 * (sizes[axis] ?? 0), 0));
  if (Math.abs(x) < 1e-3 && Math.abs(y) < 1e-3) return [];
  const holds: Record<Relation, boolean> = {
    'left of': x / length < -0.5,
    'right of': x / length > 0.5,
    above: y / length < -0.5,
    below: y / length > 0.5,
  };
  return relations.filter((relation) => holds[relation]);
}

/**
 * Objects that fulfil a specification, in prompt order: distinct random cells (counting: in raster order), random
 * size and jitter. Position scenes are drawn again until the relation holds on the true boxes.
 */
export function drawScene(specification: Specification, sheet: SpriteSheet, random: RandomStream): PlacedObject[] {
  const { wanted, count, relation } = specification;
  const looks = count === undefined ? wanted : Array.from({ length: count }, () => wanted[0] as Wanted);
  for (;;) {
    const cells = random.shuffled([0, 1, 2, 3, 4, 5, 6, 7, 8]).slice(0, looks.length);
    if (count !== undefined) cells.sort((a, b) => a - b);
    const objects = looks.map((one, index) => placed(one, cells[index] ?? 0, random));
    const [a, b] = objects.map((object) => boxOf(object, spriteOf(object, sheet)));
    if (!relation || !a || !b || relationsOf(a, b).includes(relation)) return objects;
  }
}

/** A busy scene for training the codec: 3–9 objects in 85 % of the scenes, else 1–3; 30 % in natural colors. */
export function drawDenseScene(random: RandomStream): PlacedObject[] {
  const count = random.uniform() < 0.85 ? 3 + random.below(7) : 1 + random.below(3);
  return random
    .shuffled([0, 1, 2, 3, 4, 5, 6, 7, 8])
    .slice(0, count)
    .map((cell) => {
      const name = random.pick(classNames);
      return placed(random.uniform() < 0.3 ? { name } : { name, color: random.pick(colorNames) }, cell, random);
    });
}

/** The picture of a scene, RGB bytes [48, 48, 3]; later objects lie on top. */
export function render(objects: readonly PlacedObject[], sheet: SpriteSheet): Uint8Array {
  const canvas = new Float32Array(canvasSize * canvasSize * 3);
  for (let at = 0; at < canvas.length; at++) canvas[at] = background[(at % 3) as 0 | 1 | 2] / 255;
  for (const object of objects) {
    const sprite = spriteOf(object, sheet);
    const [left, top, right, bottom] = boxOf(object, sprite);
    for (let y = Math.max(top, 0); y < Math.min(bottom, canvasSize); y++) {
      for (let x = Math.max(left, 0); x < Math.min(right, canvasSize); x++) {
        const from = ((y - top) * sprite.width + x - left) * 4;
        const to = (y * canvasSize + x) * 3;
        const clear = 1 - sprite.pixels[from + 3]!;
        for (let channel = 0; channel < 3; channel++) {
          canvas[to + channel] = sprite.pixels[from + channel]! + clear * canvas[to + channel]!;
        }
      }
    }
  }
  return Uint8Array.from(canvas, (value) => Math.round(Math.min(Math.max(value, 0), 1) * 255));
}

function spriteOf(object: PlacedObject, sheet: SpriteSheet): Sprite {
  return sheet(object.classIndex, object.look, object.size);
}

function placed({ name, color }: Wanted, cell: number, random: RandomStream): PlacedObject {
  return {
    classIndex: classNames.indexOf(name),
    look: color ? colorNames.indexOf(color) + 1 : 0,
    cell,
    size: random.pick(spriteSizes),
    dx: random.below(3) - 1,
    dy: random.below(3) - 1,
  };
}
