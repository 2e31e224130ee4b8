/**
 * `npm run faults -- [SCENARIO] [EVERY]`: all faults of all scenarios, or every so many-th, one after the other. What is not withstood
 * is written to out/faults-failed.txt, and the exit code is 1. `npm run faults -- flushes`: the small run without one of its flushes, each in
 * turn, whose power fails at the next rename or at its end: which of them nobody would miss.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { scenarios, small } from './scenarios.ts';
import { survey, tryFault } from './walk.ts';

const [wanted, every = '1'] = process.argv.slice(2);
if (wanted === 'flushes') await mutateFlushes();
const failures: string[] = [];
for (const scenario of await scenarios(wanted)) {
  const { faults, reference } = await survey(scenario);
  const kinds = new Set(faults.map(({ kind }) => kind)).size;
  const points = new Set(faults.map(({ point, occurrence }) => `${point}:${occurrence}`)).size;
  const chosen = faults.filter((_, index) => index % Number(every) === 0);
  process.stdout.write(
    `${scenario.name}: ${points} points, ${kinds} kinds, ${faults.length} faults, of which ${chosen.length} are tried\n`,
  );
  for (const [index, fault] of chosen.entries()) {
    const wrong = await tryFault(scenario, fault, reference);
    if (wrong !== undefined) {
      failures.push(`${scenario.name} ${wrong}\n`);
      process.stdout.write(failures.at(-1) ?? '');
      mkdirSync('out', { recursive: true });
      writeFileSync('out/faults-failed.txt', failures.join('\n'));
    }
    if ((index + 1) % 20 === 0) process.stdout.write(`${scenario.name}: ${index + 1} of ${chosen.length} tried\n`);
  }
}
process.exit(failures.length === 0 ? 0 : 1);

async function mutateFlushes(): Promise<never> {
  const { faults, reference } = await survey(small);
  const flushes = faults
    .filter(({ point, kind }) => point === 'flush' && kind === 'EIO')
    .map(({ occurrence }) => occurrence);
  const ends = faults.filter(({ point, kind }) => point === 'remove' && kind === 'lost');
  let missed = 0;
  for (const flush of flushes.filter((number) => number % Number(every) === 0)) {
    const caught = [];
    for (const end of ends.filter((_, index) => index % 3 === 0 || index === ends.length - 1)) {
      const wrong = await tryFault(small, { ...end, without: 'flush', withoutOccurrence: flush }, reference);
      if (wrong !== undefined) caught.push(wrong.split('\n')[0]);
      if (wrong !== undefined) break;
    }
    if (caught.length === 0) missed += 1;
    process.stdout.write(`flush ${flush}: ${caught[0] ?? 'nobody misses it'}\n`);
  }
  process.stdout.write(`${flushes.length} flushes, ${missed} of those tried are missed by nobody\n`);
  process.exit();
}
