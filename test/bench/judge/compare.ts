/** GRPO in the nano world with judges that err, side by side: what each reward makes of two tasks, by the detector's verdict on held-out prompts. */
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { main } from '../../../core/cli.ts';
import type { VerdictRecord } from '../../../core/contracts/evaluation.ts';
import { wilson } from '../../../core/evaluation/intervals.ts';
import { pairedDifference } from '../../../core/evaluation/paired.ts';
import { judgedTasks, verdictInstruction } from './questions.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

export interface CompareOptions {
  readonly folder: string;
  readonly judge: string;
  readonly steps: number;
  readonly seed: number;
  /** Held-out prompts, of which those of the judged tasks count: a third. */
  readonly evaluations: number;
  /** Shares of a detector's verdicts that are turned round, a row each. */
  readonly wrong: readonly number[];
}

interface Row {
  readonly name: string;
  /** Name of the reward that is trained on. */
  readonly reward: string;
  readonly rewards: string;
}

/** Runs what has not been run and prints the table. */
export async function compareJudges(options: CompareOptions): Promise<void> {
  const { folder, judge, wrong } = options;
  const detector = '{ use: nano-verdict, name: detector, heldOut: true }';
  const plugin = fileURLToPath(new URL('wrong-detector.ts', import.meta.url));
  const rows: Row[] = [
    { name: 'detector', reward: 'detector', rewards: 'rewards: [{ use: nano-verdict, name: detector }]' },
    {
      ...{ name: 'vlm-judge', reward: 'vlm-judge' },
      rewards: `rewards:
  - use: vlm-judge
    model: ${judge}
    mode: graded
    instruction: ${JSON.stringify(verdictInstruction)}
    maxTokens: 0
    batch: 64
    questionTokens: 96
    atOnce: 128
    cache: off
  - ${detector}`,
    },
    ...wrong.map((share): Row => ({
      ...{ name: `detector, wrong in ${(100 * share).toFixed(0)} %`, reward: 'wrong-detector' },
      rewards: `plugins: [${plugin}]\nrewards: [{ use: wrong-detector, share: ${share} }, ${detector}]`,
    })),
  ];
  mkdirSync(folder, { recursive: true });
  const lines = [
    '| reward | errs in (before, after) | before | after | paired difference | two_object | colors |',
    '|---|---|---|---|---|---|---|',
  ];
  for (const row of rows) lines.push(describe(row, await runOf(row, options)));
  process.stdout.write(`${lines.join('\n')}\n`);
}

async function runOf({ name, rewards }: Row, { folder, steps, seed, evaluations }: CompareOptions): Promise<string> {
  const slug = `${name.replaceAll(/[^a-z0-9]+/g, '-')}-seed-${seed}`;
  const directory = join(folder, slug);
  const preset = join(folder, `${slug}.yaml`);
  writeFileSync(
    preset,
    `name: ${slug}
seed: ${seed}
extends: ${join(root, 'presets/base/nano.yaml')}
optimizer: { use: adamw, learningRate: 2e-4, weightDecay: 0.01, maxNorm: 1 }
${rewards}
recipe:
  use: grpo
  weights: ${join(root, 'plugins/janus/nano/model.safetensors')}
  tasks: [${judgedTasks.join(', ')}]
  steps: ${steps}
  prompts: 16
  groupSize: 8
  miniBatches: 4
  refillRounds: 0
  imageTemperature: 0.7
  schedule: linear
  warmup: 10
  kl: { coefficient: 0.1 }
  samplesEvery: 10
  samplesShown: 128
  evaluations: ${evaluations}
  saveEvery: 20
`,
  );
  if (evaluationOf(directory, 'after') !== undefined) return directory;
  const isThere = existsSync(join(directory, 'run.json'));
  const io = { output: process.stdout, errors: process.stderr, environment: process.env };
  const code = await main(isThere ? ['resume', directory] : ['run', preset, '--run-dir', directory], io);
  if (code !== 0) throw new Error(`${name} ended with ${code}`);
  return directory;
}

function evaluationOf(directory: string, label: string): string | undefined {
  const folder = join(directory, 'evaluations');
  return existsSync(folder) ? readdirSync(folder).find((name) => name.endsWith(`.${label}.jsonl`)) : undefined;
}

function verdictsOf(directory: string, label: string): VerdictRecord[] {
  const file = evaluationOf(directory, label);
  if (file === undefined) throw new Error(`${directory} has no evaluation ${label}`);
  const isJudged = ({ task }: VerdictRecord): boolean => judgedTasks.some((each) => each === task);
  return readFileSync(join(directory, 'evaluations', file), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as VerdictRecord)
    .filter(isJudged);
}

function describe({ name, reward }: Row, directory: string): string {
  const [before, after] = [verdictsOf(directory, 'before'), verdictsOf(directory, 'after')];
  const pairs = before.map(({ index, task, score }, at) => ({
    ...{ prompt: index, task, before: score },
    after: after[at]?.score ?? Number.NaN,
  }));
  const { difference, low, high } = pairedDifference(pairs);
  const cells = [
    name,
    `${errorOf(before, reward)}, ${errorOf(after, reward)}`,
    passOf(before),
    passOf(after),
    `${signed(difference)} [${signed(low)}, ${signed(high)}]`,
    ...judgedTasks.map((task) =>
      [before, after].map((all) => shareOf(all.filter((each) => each.task === task))).join(' -> '),
    ),
  ];
  return `| ${cells.join(' | ')} |`;
}

/** The share of the pictures of which a reward says otherwise than the detector. */
function errorOf(verdicts: readonly VerdictRecord[], reward: string): string {
  const wrong = verdicts.filter(({ pass, scores }) => {
    const value = scores?.[reward]?.value;
    if (value === undefined) throw new Error(`no picture was shown to ${reward}`);
    return value >= 0.5 !== pass;
  });
  return `${((100 * wrong.length) / verdicts.length).toFixed(0)} %`;
}

function passOf(verdicts: readonly VerdictRecord[]): string {
  const passes = verdicts.filter(({ pass }) => pass).length;
  const { low, high } = wilson(passes, verdicts.length);
  return `${shareOf(verdicts)} [${low.toFixed(2)}, ${high.toFixed(2)}]`;
}

function shareOf(verdicts: readonly VerdictRecord[]): string {
  return (verdicts.filter(({ pass }) => pass).length / verdicts.length).toFixed(2);
}

function signed(value: number): string {
  return `${value < 0 ? '-' : '+'}${Math.abs(value).toFixed(2)}`;
}
