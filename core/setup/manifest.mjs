/**
 * package.json of a clone exports the sources, that of the package what was built from them. One is made from the other while npm packs
 * (`prepack`, `postpack`): npm has no field for it.
 */

/** @typedef {string | { types: string, default: string }} Target */
/** @typedef {{ exports: Record<string, Target>, [field: string]: unknown }} Manifest */

const source = /^\.\/(core\/.*)\.(m?)[jt]s$/;
const built = /^\.\/dist\/(core\/.*)\.(m?)js$/;

/** @param {Manifest} manifest of a clone @returns {Manifest} of the package */
export function publishedManifest(manifest) {
  return withExports(manifest, (target) => {
    if (typeof target !== 'string') return target;
    const [, name, kind] = source.exec(target) ?? [];
    if (name) return { types: `./dist/${name}.d.${kind}ts`, default: `./dist/${name}.${kind}js` };
    return target.replace(/^\.\/presets\//, './dist/presets/');
  });
}

/** @param {Manifest} manifest of the package @returns {Manifest} of a clone */
export function cloneManifest(manifest) {
  return withExports(manifest, (target) => {
    const path = typeof target === 'string' ? target : target.default;
    return path
      .replace(built, (_, name, kind) => `./${name}.${kind === 'm' ? 'mjs' : 'ts'}`)
      .replace(/^\.\/dist\/presets\//, './presets/');
  });
}

/** @param {Manifest} manifest @param {(target: Target) => Target} convert @returns {Manifest} */
function withExports(manifest, convert) {
  const entries = Object.entries(manifest.exports).map(([name, target]) => [name, convert(target)]);
  return { ...manifest, exports: Object.fromEntries(entries) };
}
