import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { exitCodes, PresetError, suggest } from '../errors.ts';
import { describeProgram } from '../io/software.ts';
import { loadCatalogOf } from '../preset/load.ts';
import type { CommandContext } from './context.ts';
import { componentName } from './starter/choices.ts';
import { packageFiles, packagePrefix } from './starter/package.ts';
import { componentKinds, type ComponentKind } from './starter/templates.ts';
import { changeInto, installPackages, writeNewFiles } from './starter/write.ts';

export interface CreateCommandOptions {
  /** False: leave the packages to the user. */
  readonly install: boolean;
}

/** `create KIND NAME`: writes a package with a component of one's own and its tests, which builds, is checked and can be published. */
export async function create(
  kind: string,
  name: string,
  { install }: CreateCommandOptions,
  { log, write, environment }: CommandContext,
): Promise<number> {
  const kinds = Object.keys(componentKinds) as ComponentKind[];
  const known = kinds.find((each) => each === kind);
  if (known === undefined)
    throw new PresetError({
      code: 'UNKNOWN_KIND',
      message: `there is no kind of component "${kind}" to create`,
      hint: suggest(kind, kinds),
    });
  // Who types the name of the package means the same.
  const component = name.replace(new RegExp(`^${packagePrefix}`), '');
  await refuseTaken(known, componentName(component, known));
  // A name that begins so already is no better with it twice.
  const otherwise = `npx reasongen create ${known} ${component.startsWith('my-') ? `${component}-2` : `my-${component}`}`;
  const folder = resolve(`${packagePrefix}${component}`);
  if (existsSync(folder))
    throw new PresetError({
      code: 'DIRECTORY_NOT_EMPTY',
      message: 'it is there already, and nothing is overwritten',
      place: folder,
      hint: `choose another name: ${otherwise}`,
    });
  const version = describeProgram().versions['reasongen'] ?? '';
  await writeNewFiles(folder, packageFiles(known, component, version), otherwise, log);
  if (install) await installPackages(folder, ['reasongen', 'typescript', '@types/node'], environment);
  const steps = [
    ...changeInto(folder),
    ...(install ? [] : ['npm install']),
    'npm test',
    'npm run build',
    'npx reasongen check preset.yaml',
  ];
  write(`${steps.join('\n')}\n`);
  return exitCodes.done;
}

/** A name that a preset would refuse later is refused now. */
async function refuseTaken(kind: ComponentKind, name: string): Promise<void> {
  const catalog = await loadCatalogOf([]);
  if (catalog.component(kind, name) === undefined && !catalog.plugins.some((plugin) => plugin.name === name)) return;
  throw new PresetError({
    code: 'NAME_TAKEN',
    message: `"${name}" comes with reasongen already`,
    hint: `name your ${kind} otherwise: npx reasongen create ${kind} my-${name}`,
  });
}
