/** A world of flat shapes on white, and a judge that sees them by their pixels: what a detector and a color classifier say, known in advance. */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { defineJudge, definePlugin, z, type Detection, type Image } from '../../core/plugin.ts';

export const shapeColors = {
  red: [220, 30, 30],
  green: [30, 160, 60],
  blue: [30, 60, 220],
  yellow: [240, 210, 30],
} as const;
export type ShapeColor = keyof typeof shapeColors;
export type ShapeName = 'circle' | 'square' | 'triangle';

export interface Shape {
  readonly shape: ShapeName;
  readonly color: ShapeColor;
  /** Left, top and side in pixels. */
  readonly at: readonly [x: number, y: number, side: number];
}

/** For the benchmark `geneval`. */
export const shapeOntology = {
  classes: ['circle', 'square', 'triangle'],
  colors: Object.keys(shapeColors),
  colorTemplates: ['a {} CLASS'],
  threshold: 0.3,
  countingThreshold: 0.9,
  mostOfAClass: 16,
  positionMargin: 0.1,
};

export function drawShapes(shapes: readonly Shape[], side = 96): Image {
  const data = new Uint8Array(side * side * 3).fill(255);
  for (const { shape, color, at } of shapes) {
    const [left, top, size] = at;
    for (let y = 0; y < size; y++)
      for (let x = 0; x < size; x++)
        if (covers(shape, (x + 0.5) / size, (y + 0.5) / size))
          data.set(shapeColors[color], ((top + y) * side + left + x) * 3);
  }
  return { width: side, height: side, data };
}

function covers(shape: ShapeName, x: number, y: number): boolean {
  if (shape === 'square') return true;
  if (shape === 'circle') return (x - 0.5) ** 2 + (y - 0.5) ** 2 <= 0.25;
  return Math.abs(x - 0.5) <= y / 2;
}

/** Connected pixels of one color; a shape by how much of its box it covers. Larger ones are surer. */
export function seeShapes(image: Image): (Detection & { readonly color: ShapeColor })[] {
  const { width, height } = image;
  const colors = Array.from({ length: width * height }, (_, pixel) => colorAt(image, pixel));
  const seen = new Set<number>();
  const found: (Detection & { readonly color: ShapeColor })[] = [];
  for (const [start, color] of colors.entries()) {
    if (color === undefined || seen.has(start)) continue;
    const [xs, ys]: [number[], number[]] = [[], []];
    const stack = [start];
    seen.add(start);
    for (let pixel = stack.pop(); pixel !== undefined; pixel = stack.pop()) {
      const [x, y] = [pixel % width, Math.floor(pixel / width)];
      xs.push(x);
      ys.push(y);
      for (const [nx, ny] of [
        [x - 1, y],
        [x + 1, y],
        [x, y - 1],
        [x, y + 1],
      ] as const) {
        const next = ny * width + nx;
        if (nx < 0 || nx >= width || ny < 0 || ny >= height || seen.has(next) || colors[next] !== color) continue;
        seen.add(next);
        stack.push(next);
      }
    }
    const box = [Math.min(...xs), Math.min(...ys), Math.max(...xs) + 1, Math.max(...ys) + 1] as const;
    const share = xs.length / ((box[2] - box[0]) * (box[3] - box[1]));
    const label = share > 0.9 ? 'square' : share > 0.65 ? 'circle' : 'triangle';
    found.push({ label, score: 0.91 + xs.length / (width * height) / 20, box, color });
  }
  return found.toSorted((a, b) => b.score - a.score);
}

function colorAt({ data }: Image, pixel: number): ShapeColor | undefined {
  const rgb = data.subarray(pixel * 3, pixel * 3 + 3);
  return (Object.keys(shapeColors) as ShapeColor[]).find((name) =>
    shapeColors[name].every((value, channel) => value === rgb[channel]),
  );
}

const judge = defineJudge({
  name: 'shapes',
  summary: 'sees shapes and their colors',
  options: z.strictObject({
    fails: z.number().min(0).max(1).default(0).describe('share of questions that it does not answer'),
    diary: z.string().optional().describe('a file with a line for every answer'),
    delay: z.number().nonnegative().default(0).describe('milliseconds of thought'),
  }),
  create: ({ fails, diary, delay }) => {
    const note = (text: string): void => {
      if (diary !== undefined) appendFileSync(diary, `${text}\n`);
    };
    let asked = diary !== undefined && existsSync(diary) ? readFileSync(diary, 'utf8').length : 0;
    return {
      title: 'Shapes',
      fingerprint: { model: 'shapes-1' },
      detect: async (image) => {
        if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay));
        asked += 1;
        if ((asked * 0.6180339887) % 1 < fails) throw new Error('the judge is out of breath');
        const found = seeShapes(image);
        note(found.map(({ label, color, box }) => `${color} ${label} ${box.join()}`).join('; '));
        return found.map(({ label, score, box }) => ({ label, score, box }));
      },
      classify: (image, { box }, labels) => {
        const own = seeShapes(image).find((each) => each.box.join() === box.join());
        return Promise.resolve(labels.map((label) => Number(label === own?.color)));
      },
    };
  },
});

export default definePlugin({ name: 'shapes', provides: [judge] });
