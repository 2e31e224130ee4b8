import { join } from 'node:path';
import { expect, test } from 'vitest';
import { thrownAt } from '../../core/blame.ts';
import { root } from '../support/runs.ts';

/** An error whose stack has these frames, the innermost first. */
function thrown(...places: readonly string[]): Error {
  const error = new Error('no');
  error.stack = ['Error: no', ...places.map((place) => `    at something (${place}:3:7)`)].join('\n');
  return error;
}

const core = join(root, 'core/commands/samples.ts');
const library = join(root, 'node_modules/commander/lib/command.js');

test('what the program itself or a library of its own throws is blamed on no plugin, in a clone and installed', () => {
  expect(thrownAt(thrown('node:buffer', core, library))).toBeUndefined();
  expect(thrownAt(thrown(join(root, 'plugins/janus/index.ts'), core))).toBeUndefined();
  for (const name of ['sharp/dist/x.js', '@hono/node-server/dist/x.js', 'undici/lib/x.js'])
    expect(thrownAt(thrown(join(root, 'node_modules', name), core)), name).toBeUndefined();
  expect(thrownAt(thrown('/app/node_modules/zod/v4/core/parse.js'))).toBeUndefined();
});

test('the innermost frame of a plugin is named: beside the program, from npm, and behind a library', () => {
  expect(thrownAt(thrown('/home/me/mine/brevity.ts', core))).toBe('/home/me/mine/brevity.ts:3:7');
  expect(thrownAt(thrown(library, '/home/me/mine/brevity.ts', core))).toBe('/home/me/mine/brevity.ts:3:7');
  const installed = join(root, 'node_modules/reasongen-plugin-x/dist/index.js');
  expect(thrownAt(thrown(installed, core))).toMatch(/node_modules\/reasongen-plugin-x\/dist\/index\.js:3:7$/);
  const nested = '/app/node_modules/zod-helpers/node_modules/left-pad/index.js';
  expect(thrownAt(thrown(nested))).toBe(`${nested}:3:7`);
});
