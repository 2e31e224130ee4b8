/**
 * The long form: `npm run fuzz -- [TARGET...] [--inputs N] [--seed N] [--first N] [--keep FOLDER]`. Every finding is named by target,
 * seed and number, and its input is kept, so that `npm run fuzz -- TARGET --seed SEED --first NUMBER --inputs 1` tries it again.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fuzz, inputOf, openTarget, targetNames } from './harness.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    inputs: { type: 'string', default: '5000' },
    seed: { type: 'string', default: String(Math.floor(Date.now() / 1000)) },
    first: { type: 'string', default: '0' },
    keep: { type: 'string', default: 'out/fuzz' },
  },
});
const seed = Number(values.seed);
const first = Number(values.first);
const unknown = positionals.filter((name) => !targetNames().includes(name));
if (unknown.length > 0) {
  console.error(`no target ${unknown.join(', ')}; there are: ${targetNames().join(', ')}`);
  process.exit(2);
}
let found = 0;
for (const target of positionals.length > 0 ? positionals : targetNames()) {
  const { counts, findings } = await fuzz({ target, seed, first, last: first + Number(values.inputs) });
  console.log(`${target}, seed ${seed}: ${counts.read} read, ${counts.refused} refused, ${findings.length} finding(s)`);
  const opened = await openTarget(target);
  const seeds = findings.length === 0 ? [] : await opened.seeds();
  for (const { number, what } of findings) {
    mkdirSync(values.keep, { recursive: true });
    const kept = join(values.keep, `${target}-${seed}-${number}`);
    writeFileSync(kept, inputOf(opened, seeds, number, seed));
    console.log(`  ${number} (${kept}): ${what}`);
  }
  found += findings.length;
}
process.exitCode = found === 0 ? 0 : 1;
