/**
 * What a judge that errs costs. A small Qwen2.5-VL learns to look at drawings of the nano world, by the detector's verdicts; then GRPO is run with
 * it (`vlm-judge`), with the detector, and with a detector whose verdicts are turned round in a known share of the drawings.
 *   npm run bench:judge [-- --folder DIR --steps 60 --seed 0 --wrong 0.1,0.25]
 * Everything lies in the folder (runs/judge), and what is there is not made again. About an hour on 2 cores without a GPU.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { main } from '../../../core/cli.ts';
import { decodePicture } from '../../../core/io/image.ts';
import { compareJudges } from './compare.ts';
import { detect, promptsToDraw } from './questions.ts';
import { teachJudge, type DrawnPicture } from './teach.ts';

const { values } = parseArgs({
  options: {
    folder: { type: 'string', default: 'runs/judge' },
    steps: { type: 'string', default: '60' },
    seed: { type: 'string', default: '0' },
    wrong: { type: 'string', default: '0.1,0.25' },
  },
});
const root = fileURLToPath(new URL('../../..', import.meta.url));
const folder = resolve(values.folder);
mkdirSync(folder, { recursive: true });

/** Six drawings of each prompt by the policy that GRPO starts from, a little more often wrong than it is later judged on. */
async function draw(split: 'seen' | 'heldout', count: number): Promise<DrawnPicture[]> {
  const directory = join(folder, `drawn-${split}`);
  if (!existsSync(join(directory, 'run.json'))) {
    const prompts = join(folder, `${split}.jsonl`);
    writeFileSync(
      prompts,
      promptsToDraw(split, count)
        .map((prompt) => `${JSON.stringify({ prompt })}\n`)
        .join(''),
    );
    const preset = join(folder, `drawn-${split}.yaml`);
    const weights = join(root, 'plugins/janus/nano/model.safetensors');
    writeFileSync(
      preset,
      `name: drawn-${split}
seed: 5
extends: ${join(root, 'presets/base/nano.yaml')}
recipe: { use: generate, weights: ${weights}, promptFile: ${prompts}, samplesPerPrompt: 6, imageTemperature: 0.85, batch: 128 }
`,
    );
    const io = { output: process.stdout, errors: process.stderr, environment: process.env };
    const code = await main(['run', preset, '--run-dir', directory], io);
    if (code !== 0) process.exit(code);
  }
  const lines = readFileSync(join(directory, 'drawings.jsonl'), 'utf8').trim().split('\n');
  const pictures: DrawnPicture[] = [];
  for (const line of lines) {
    const { file, prompt } = JSON.parse(line) as { readonly file: string; readonly prompt: string };
    const image = await decodePicture(readFileSync(join(directory, file)));
    pictures.push({ image, inspection: detect(image.data), prompt });
  }
  return pictures;
}

const judge = join(folder, 'judge');
const report = join(folder, 'accuracy.txt');
if (!existsSync(report)) {
  const train = await draw('seen', 700);
  writeFileSync(report, `${await teachJudge(judge, { train, heldOut: await draw('heldout', 120) })}\n`);
}
process.stdout.write(`the judge is ${readFileSync(report, 'utf8')}`);
await compareJudges({
  ...{ folder: join(folder, 'runs'), judge, steps: Number(values.steps), seed: Number(values.seed), evaluations: 600 },
  wrong: values.wrong === '' ? [] : values.wrong.split(',').map(Number),
});
