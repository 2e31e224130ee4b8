/** `node --import reasongen/register`: node then loads TypeScript as this program loads plugins. For the tests of a plugin. */
import { existsSync } from 'node:fs';
import { register } from 'node:module';
import { fileURLToPath } from 'node:url';

// The sources of a clone are TypeScript themselves; the package holds JavaScript.
if (existsSync(new URL('cli.ts', import.meta.url))) {
  const tsx = await import('tsx/esm/api');
  tsx.register({ tsconfig: fileURLToPath(new URL('../tsconfig.json', import.meta.url)) });
}
register('./preset/typescript-hooks.mjs', import.meta.url);
