/** The world of swatches: eight colors, pictures of one color. Small enough that a recipe learns it in seconds. */
import type { Image } from '../../core/plugin.ts';

export const palette = {
  red: [220, 40, 40],
  green: [40, 170, 60],
  blue: [40, 70, 210],
  yellow: [240, 220, 50],
  purple: [140, 50, 170],
  orange: [245, 140, 30],
  white: [250, 250, 250],
  black: [15, 15, 15],
} as const;

export type ColorName = keyof typeof palette;

export const colorNames = Object.keys(palette) as readonly ColorName[];

/** Side of a picture in pixels. */
export const side = 8;

/** Index of the color nearest to an RGB triple, in the order of `colorNames`. */
export function nearestColor(rgb: readonly number[]): number {
  const distances = colorNames.map((name) =>
    palette[name].reduce((sum, value, channel) => sum + (value - (rgb[channel] ?? 0)) ** 2, 0),
  );
  return distances.indexOf(Math.min(...distances));
}

/** A picture of `cells` × `cells` flat fields, color indices in raster order. */
export function paint(colors: readonly number[], cells: number): Image {
  const data = new Uint8Array(side * side * 3);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const cell = Math.floor((y * cells) / side) * cells + Math.floor((x * cells) / side);
      data.set(palette[colorNames[colors[cell] ?? 0] ?? 'black'], (y * side + x) * 3);
    }
  }
  return { width: side, height: side, data };
}

/** Color index of each field: the nearest to the mean of its pixels. */
export function fields({ data }: Image, cells: number): number[] {
  return Array.from({ length: cells * cells }, (_, cell) => {
    const sums = [0, 0, 0];
    let count = 0;
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        if (Math.floor((y * cells) / side) * cells + Math.floor((x * cells) / side) !== cell) continue;
        for (let channel = 0; channel < 3; channel++)
          sums[channel] = (sums[channel] ?? 0) + (data[(y * side + x) * 3 + channel] ?? 0);
        count++;
      }
    }
    return nearestColor(sums.map((sum) => sum / count));
  });
}
