/** The files `create` writes: a package with one component, its tests, and a preset that uses it. */
import { componentKinds, template, templatesOf, type ComponentKind } from './templates.ts';
import type { NewFiles } from './write.ts';

/** What names of packages with plugins begin with: `reasongen plugins` finds them by it. */
export const packagePrefix = 'reasongen-plugin-';

/** `version` is reasongen's own. */
export function packageFiles(kind: ComponentKind, name: string, version: string): NewFiles {
  const values = { name, kind, what: componentKinds[kind], package: `${packagePrefix}${name}`, file: './index.ts' };
  const files = templatesOf(kind, values);
  const folders = ['dist', ...(Object.keys(files).some((path) => path.startsWith('kernels/')) ? ['kernels'] : [])];
  return {
    'README.md': template('README.md', values),
    ...files,
    'package.json': manifest(values, version, folders),
    'tsconfig.json': template('tsconfig.json', values),
    '.gitignore': 'node_modules/\ndist/\nruns/\nout/\n',
  };
}

function manifest(
  values: Readonly<Record<'package' | 'kind' | 'what', string>>,
  version: string,
  folders: readonly string[],
): string {
  const description = {
    name: values.package,
    version: '0.1.0',
    description: `A ${values.kind} for reasongen: it ${values.what}`,
    type: 'module',
    exports: { '.': { types: './dist/index.d.ts', default: './dist/index.js' } },
    files: [...folders, '!dist/*.test.*'],
    keywords: ['reasongen-plugin'],
    scripts: {
      build: 'tsc',
      check: 'tsc --noEmit',
      test: 'node --import reasongen/register --test src/*.test.ts',
      prepack: 'npm run build',
    },
    // A plugin and the program must share one copy.
    peerDependencies: { reasongen: `^${version}` },
    devDependencies: { '@types/node': '^20.19.0', reasongen: `^${version}`, typescript: '>=5.9 <8' },
  };
  return `${JSON.stringify(description, undefined, 2)}\n`;
}
