/** The closed vocabulary of the nano world. The order of every list is part of the hold-out rules. */

/** Class names as prompts write them; index = class number. */
export const classNames = [
  'airplane',
  'apple',
  'bird',
  'boat',
  'cake',
  'car',
  'carrot',
  'cat',
  'chair',
  'giraffe',
  'teddy bear',
  'umbrella',
] as const;
export type ClassName = (typeof classNames)[number];

/** Colors a prompt may name; color number (and look) = index + 1. Look 0 = natural colors. */
export const colorNames = ['red', 'yellow', 'green', 'blue', 'purple', 'black'] as const;
export type ColorName = (typeof colorNames)[number];

/** Looks of a sprite: natural, then one for each color. */
export const lookCount = colorNames.length + 1;

/** GenEval's four relations, x right and y down. */
export const relations = ['left of', 'right of', 'above', 'below'] as const;
export type Relation = (typeof relations)[number];

/** The six tasks of GenEval, in its order. */
export const tasks = ['single_object', 'two_object', 'counting', 'colors', 'position', 'color_attr'] as const;
export type Task = (typeof tasks)[number];

/** `numberWords[n]` for the counts that occur; 0 and 1 serve explanations only. */
export const numberWords = ['no', 'one', 'two', 'three', 'four'] as const;
export const ordinals = ['first', 'second', 'third', 'fourth'] as const;

export const rowNames = ['top', 'middle', 'bottom'] as const;
export const columnNames = ['left', 'center', 'right'] as const;

/** `ROW COL` of a cell 0–8, counted in raster order. */
export function cellName(cell: number): string {
  return `${rowNames[Math.floor(cell / 3)]} ${columnNames[cell % 3]}`;
}

/** "a" or "an" by the first letter, as GenEval does it. */
export function withArticle(words: string): string {
  return `${/^[aeiou]/.test(words) ? 'an' : 'a'} ${words}`;
}

/** GenEval's naive plural: es after a final s, else s. */
export function plural(name: string): string {
  return name.endsWith('s') ? `${name}es` : `${name}s`;
}
