/**
 * A large evaluation with a flaky judge, killed on its way: `npm run soak:evaluation -- [PICTURES] [KILLS]`, 10000 and 2 unless told. It must end
 * complete, with every picture judged once. Exit code 1 otherwise; the run is then left for inspection.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { killedEvaluation } from './killed-evaluation.ts';

const count = Number(process.argv[2] ?? 10_000);
const kills = Number(process.argv[3] ?? 2);
const folder = mkdtempSync(join(tmpdir(), 'reasongen-evaluations-'));
const { record, verdicts, isRight, answers, killed } = await killedEvaluation(folder, count, kills);
const wrong = verdicts.filter(({ index, pass }) => pass !== isRight(index)).length;
const once = new Set(verdicts.map(({ index }) => index)).size;
process.stdout.write(
  `${count} pictures, killed ${killed} times: ${verdicts.length} verdicts on ${once} pictures, ${wrong} of them wrong, ` +
    `${record.counts?.judgeErrors} without an answer; the judge answered ${answers} times\n`,
);
if (killed < kills || verdicts.length !== count || once !== count || wrong > 0 || answers > count + 200 * kills) {
  process.stderr.write(`left for inspection: ${folder}\n`);
  process.exitCode = 1;
} else rmSync(folder, { recursive: true });
