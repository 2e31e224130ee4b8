import { exitCodes } from '../errors.ts';
import { describeProgram } from '../io/software.ts';
import { loadCatalogOf } from '../preset/load.ts';
import type { CommandContext } from './context.ts';
import { chooseStarter, type StarterOptions, type Terminal } from './starter/choices.ts';
import { publishedModel, starterFiles } from './starter/files.ts';
import { changeInto, installPackages, writeNewFiles } from './starter/write.ts';

export interface InitOptions extends StarterOptions {
  /** Take the defaults for what no flag says, and ask nothing. */
  readonly yes?: boolean;
  /** False: leave the packages to the user. */
  readonly install: boolean;
}

/** `init [folder]`: writes a folder with a preset, a reward and its test, and installs what they need. Overwrites nothing. */
export async function init(
  folder: string | undefined,
  options: InitOptions,
  { log, write, environment }: CommandContext,
  terminal: Terminal | undefined = terminalOfProcess(),
): Promise<number> {
  const catalog = await loadCatalogOf([]);
  const isTaken = (name: string): boolean =>
    catalog.component('reward', name) !== undefined || catalog.plugins.some((plugin) => plugin.name === name);
  const choices = await chooseStarter(folder, options, options.yes === true ? undefined : terminal, isTaken);
  const files = starterFiles(choices, describeProgram().versions['reasongen'] ?? '');
  await writeNewFiles(choices.folder, files, 'npx reasongen init my-judge', log);
  // Inside a project that has the package, it is found from there already.
  if (options.install) await installPackages(choices.folder, ['reasongen'], environment);
  const model = publishedModel(choices.model);
  const steps = [
    ...changeInto(choices.folder),
    ...(options.install ? [] : ['npm install']),
    'npm test',
    ...(model === undefined ? [] : [`npx reasongen pull ${model}`]),
    'npm start',
  ];
  write(`${steps.join('\n')}\n`);
  return exitCodes.done;
}

/** Asked are people only: both ends must be a terminal. */
function terminalOfProcess(): Terminal | undefined {
  return process.stdin.isTTY && process.stderr.isTTY ? { input: process.stdin, output: process.stderr } : undefined;
}
