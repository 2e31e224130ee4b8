/**
 * `npm run faults -- [SCENARIO] [EVERY] [POINT]`: all faults of all scenarios, or every so many-th, or those of one point, one after the other. What is not withstood
 * is written to out/faults-failed.txt, and the exit code is 1. `npm run faults -- flushes` and `renames`: the small run without one of its
 * flushes or renames, each in turn, whose power fails somewhere behind it: which of them nobody would miss.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import type { FaultPlan } from '../../core/faults.ts';
import { forgotten } from './forgotten.ts';
import { OneProcess } from './runner.ts';
import { scenario, scenarioNames } from './scenarios.ts';
import { survey, tryFault } from './walk.ts';

const [wanted, every = '1', at] = process.argv.slice(2);
const runner = new OneProcess();
const failures: string[] = [];
const started = performance.now();
if (wanted === 'flushes' || wanted === 'renames') await walkForgotten(wanted === 'flushes' ? 'flush' : 'rename');
else for (const name of wanted === undefined ? scenarioNames : wanted.split(',')) await walk(name);
runner.close();
process.exit(failures.length === 0 ? 0 : 1);

async function walk(name: string): Promise<void> {
  const which = await scenario(name);
  const known = await survey(which, runner);
  const { faults, passes } = known;
  const chosen = faults.filter(({ point }, index) => index % Number(every) === 0 && (at ?? point) === point);
  const kinds = new Set(faults.map(({ kind }) => kind)).size;
  const kills = faults.filter(({ kind }) => kind === 'SIGKILL' || kind === 'lost').length;
  const list = Object.entries(passes)
    .map(([point, count]) => `${point} ${count}`)
    .join(', ');
  say(
    `${name}: ${Object.keys(passes).length} points passed ${Object.values(passes).reduce((sum, count) => sum + count, 0)} times (${list}), ` +
      `${kinds} kinds: ${faults.length} faults, ${kills} of them kills; ${chosen.length} are tried`,
  );
  let failed = 0;
  for (const [index, fault] of chosen.entries()) {
    const wrong = await tryFault(which, fault, known, runner);
    if (wrong !== undefined) failed += 1;
    if (wrong !== undefined) note(`${name} ${wrong}`);
    if ((index + 1) % 100 === 0) say(`${name}: ${index + 1} of ${chosen.length} tried, ${failed} not withstood`);
  }
  say(
    `${name}: ${chosen.length - failed} of ${chosen.length} faults withstood, ${Math.round((performance.now() - started) / 1000)} s`,
  );
}

async function walkForgotten(point: FaultPlan['point']): Promise<void> {
  const { total, missed, caught } = await forgotten(point, runner, (number) => number % Number(every) === 0);
  for (const [number, wrong] of caught) say(`${point} ${number}: ${wrong.split('\n')[0]}`);
  say(
    `${total} of this point, ${caught.size} of ${caught.size + missed.length} tried are caught; nobody misses ${missed.join(', ') || 'none'}`,
  );
}

function note(wrong: string): void {
  failures.push(`${wrong}\n`);
  say(wrong);
  mkdirSync('out', { recursive: true });
  writeFileSync('out/faults-failed.txt', failures.join('\n'));
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
