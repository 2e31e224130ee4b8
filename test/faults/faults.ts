/**
 * `npm run faults -- [SCENARIO] [EVERY]`: all faults of all scenarios, or every so many-th, one after the other. What is not withstood
 * is written to out/faults-failed.txt, and the exit code is 1.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { scenarios } from './scenarios.ts';
import { survey, tryFault } from './walk.ts';

const [wanted, every = '1'] = process.argv.slice(2);
const failures: string[] = [];
for (const scenario of scenarios().filter(({ name }) => wanted === undefined || name === wanted)) {
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
process.exitCode = failures.length === 0 ? 0 : 1;
