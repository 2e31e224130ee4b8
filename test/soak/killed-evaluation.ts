/** An evaluation whose judge is flaky and whose process is killed: what it ends with, and how often the judge was asked. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as wait } from 'node:timers/promises';
import type { Evaluation, VerdictRecord } from '../../core/contracts/evaluation.ts';
import { encodePng } from '../../core/io/image.ts';
import { drawShapes, shapeOntology, type ShapeColor, type ShapeName } from '../support/shapes.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const colors: readonly ShapeColor[] = ['red', 'green', 'blue', 'yellow'];
const shapes: readonly ShapeName[] = ['circle', 'square', 'triangle'];

export interface KilledEvaluation {
  readonly record: Evaluation;
  readonly verdicts: readonly VerdictRecord[];
  /** Whether picture `index` is what its prompt asks for. */
  readonly isRight: (index: number) => boolean;
  /** Answers that the judge gave, in all processes together. */
  readonly answers: number;
  readonly killed: number;
}

/** Picture `index`: what is asked for, in every third picture in the wrong color. */
const colorOf = (index: number): ShapeColor => colors[index % colors.length] ?? 'red';
const isRight = (index: number): boolean => index % 3 !== 0;

/** Makes `count` pictures in the folder, evaluates them, and kills the process `kills` times on its way. Throws when it does not end well. */
export async function killedEvaluation(folder: string, count: number, kills: number): Promise<KilledEvaluation> {
  await makePictures(folder, count);
  const directory = join(folder, 'run');
  const diary = join(folder, 'diary.txt');
  const preset = join(folder, 'flaky.yaml');
  writeFileSync(
    preset,
    `name: flaky\nplugins: [${join(root, 'test/support/shapes.ts')}]\njudges: [{ use: shapes, cache: off, fails: 0.1, diary: ${diary} }]\n` +
      `benchmarks: [{ use: geneval, prompts: prompts.jsonl, ontology: ontology.json, samplesPerPrompt: 1 }]\n`,
  );
  const start = ['evaluate', preset, '--pictures', join(folder, 'pictures'), '--run-dir', directory];
  let killed = 0;
  for (let part = 1; part <= kills; part++) {
    const words = existsSync(join(directory, 'run.json')) ? ['resume', directory] : start;
    if (await killedAt(words, join(directory, 'evidence'), Math.floor((count * part) / (kills + 1)))) killed += 1;
  }
  const name = join(directory, 'evaluations', 'geneval.heldout.evaluation');
  let record: Evaluation;
  let unanswered = 0;
  // Once more where all tries of a question failed: each time a thousandth of them does.
  do {
    const words = existsSync(join(directory, 'run.json')) ? ['resume', directory] : start;
    const { code, said } = await ended(reasongen(words));
    if (code !== 0) throw new Error(`the evaluation ended with ${code}: ${said}`);
    const before = unanswered;
    record = JSON.parse(readFileSync(`${name}.json`, 'utf8')) as Evaluation;
    unanswered = record.counts?.judgeErrors ?? 0;
    if (before > 0 && unanswered >= before) throw new Error(`${unanswered} questions stay without an answer`);
  } while (unanswered > 0);
  return {
    record,
    verdicts: linesOf(`${name}.jsonl`).map((line) => JSON.parse(line) as VerdictRecord),
    isRight,
    answers: linesOf(diary).length,
    killed,
  };
}

async function makePictures(folder: string, count: number): Promise<void> {
  const lines: string[] = [];
  for (let index = 0; index < count; index++) {
    const shape = shapes[index % shapes.length] ?? 'circle';
    const color = colorOf(index);
    const prompt = `a photo of a ${color} ${shape}, number ${index}`;
    lines.push(JSON.stringify({ tag: 'colors', include: [{ class: shape, count: 1, color }], prompt }));
    const drawn = isRight(index) ? color : colorOf(index + 1);
    const image = drawShapes([{ shape, color: drawn, at: [6, 6, 16] }], 32);
    // No two pictures are equal: their number stands in a corner, in colors that are none.
    image.data.set([1, index >> 8, index & 255], image.data.length - 3);
    const own = join(folder, 'pictures', String(index).padStart(5, '0'), 'samples');
    mkdirSync(own, { recursive: true });
    writeFileSync(join(own, '0000.png'), await encodePng(image));
  }
  writeFileSync(join(folder, 'prompts.jsonl'), `${lines.join('\n')}\n`);
  writeFileSync(join(folder, 'ontology.json'), JSON.stringify(shapeOntology));
}

type Program = ReturnType<typeof reasongen>;

function reasongen(words: readonly string[]) {
  return spawn(process.execPath, ['--import', 'tsx', join(root, 'core/cli.ts'), ...words], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
}

function ended(child: Program): Promise<{ readonly code: number | null; readonly said: string }> {
  let said = '';
  child.stderr.on('data', (chunk) => (said += String(chunk)));
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, said })));
}

/** Starts the program and kills it once so many answers are written down. False when it ended before that. */
async function killedAt(words: readonly string[], evidence: string, count: number): Promise<boolean> {
  const child = reasongen(words);
  const end = ended(child);
  const file = join(evidence, 'geneval.heldout.evaluation.jsonl');
  while (child.exitCode === null && linesOf(file).length < count) await wait(10);
  const isRunning = child.exitCode === null;
  child.kill('SIGKILL');
  await end;
  return isRunning;
}

function linesOf(file: string): string[] {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : [];
}
