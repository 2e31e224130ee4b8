/** How the texts of a command line become values. What they throw is shown by commander beside the option's name. */
import { existsSync } from 'node:fs';
import { type Command, InvalidArgumentError } from 'commander';
import type { WorkKind } from '../contracts/executor.ts';
import { unexpandedPart, unexpandedPath } from '../unexpanded.ts';

/** Of an option that may be repeated: all its values. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

/** A folder to be made. The shell expands `~` and variables only where they are not quoted; here nothing does. */
export function newFolder(text: string): string {
  if (text.startsWith('./')) return text;
  // A new name may have a star in it.
  const unexpanded = unexpandedPart(text) === undefined ? undefined : unexpandedPath(text, undefined);
  if (unexpanded === undefined) return text;
  throw new InvalidArgumentError(`${unexpanded.message}; ${unexpanded.hint} (./… is taken as it is).`);
}

/** What the placeholders of paths are called, of options and arguments. */
const pathWords = /<?\b(path|file|folder|directory|preset|from|model)\b/;

/** Throws NOT_EXPANDED for a path of the command line that is not there and that a shell was meant to make another of. */
export function refuseUnexpanded(command: Command): void {
  const given: (readonly [name: string, value: unknown])[] = [
    ...command.options
      .filter(({ flags, parseArg }) => pathWords.test(flags) && parseArg !== newFolder)
      .map((option) => [option.long ?? option.flags, command.getOptionValue(option.attributeName())] as const),
    ...command.registeredArguments.map((argument, index) => [argument.name(), command.args[index]] as const),
  ].filter(([name]) => name.startsWith('--') || pathWords.test(name) || name.length === 1);
  for (const [name, value] of given)
    for (const path of [value].flat())
      if (typeof path === 'string' && !path.startsWith('hub:') && !existsSync(path)) {
        const unexpanded = unexpandedPath(path, `${name} ${JSON.stringify(path)}`);
        if (unexpanded !== undefined) throw unexpanded;
      }
}

export function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}

/** A whole number that is not 0. */
export function someNumber(text: string): number {
  if (!/^0*[1-9]\d*$/.test(text)) throw new InvalidArgumentError('It must be a whole number above 0.');
  return Number(text);
}

/** How many pixels a pixel becomes across; beyond these a sheet is larger than anything shows. */
export function scaleFactor(text: string): number {
  const factor = someNumber(text);
  if (factor > 64) throw new InvalidArgumentError('It must be at most 64.');
  return factor;
}

export function portNumber(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535)
    throw new InvalidArgumentError('It must be a port: a number from 0 to 65535.');
  return Number(text);
}

const workKinds = ['draw', 'judge', 'evaluate'] as const satisfies readonly WorkKind[];

/** `draw,judge` */
export function kindsOfWork(text: string): WorkKind[] {
  return text.split(',').map((word) => {
    const kind = workKinds.find((each) => each === word.trim());
    if (kind === undefined) throw new InvalidArgumentError(`It must be one or several of ${workKinds.join(',')}.`);
    return kind;
  });
}

/** `5GB` → 5e9 */
export function byteCount(text: string): number {
  const [, digits, unit = ''] = /^(\d+(?:\.\d+)?)(KB|MB|GB)?$/i.exec(text) ?? [];
  const bytes = Number(digits) * ({ '': 1, KB: 1e3, MB: 1e6, GB: 1e9 }[unit.toUpperCase()] ?? Number.NaN);
  if (!(bytes >= 1)) throw new InvalidArgumentError('It must be a size such as 5GB.');
  return Math.floor(bytes);
}

/** Below the help of commands that read a preset. */
export const settingHelp = `
Settings:
  --set steps=50                      an option of the recipe, in short
  --set optimizer.learningRate=1e-5   an option of another component
  --set rewards.NAME.weight=0.5       of an item of a list, by name or index: rewards[0].weight
  --set rewards+=NAME                 one more; with options: --set 'rewards+={ use: NAME, weight: 0.2 }'
  --set recipe.ema=null               takes a value away
  --set NAME.steps=50                 in a chain: of the stage called NAME
Values are YAML. A path that leads nowhere is refused with the one that was likely meant.`;
