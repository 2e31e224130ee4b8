/**
 * The pages as a newcomer meets them: their files are written as shown, their commands are run as shown, in a folder that looks like a
 * clone. The only liberties: `npx reasongen` is the program it starts; long runs get further `--set`s that make them short; and the hub is
 * one on this machine, whose model is a small one of the published class.
 */
import { type ChildProcess, execFile } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findRedis, redisHint } from '../plugins/bullmq/redis.mjs';
import { RedisServer } from '../plugins/bullmq/redis-server.ts';
import { findOpenMpi, openMpiHint } from '../plugins/mpi/openmpi.mjs';
import { exitCodes } from '../../core/errors.ts';
import { openModelSource } from '../../core/io/weight-files/model.ts';
import { janusNames } from '../../plugins/janus/names.ts';
import { captionRows, picture, writeParquet } from '../support/captions.ts';
import { commandLine } from '../support/command-line.ts';
import { commit, FakeHub } from '../support/hub.ts';
import { janusFolder } from '../support/janus-folder.ts';
import { metricsOf, root } from '../support/runs.ts';
import { blocksOf, commandsOf, filesOf, mainPages, pluginPages, textOf } from './pages.ts';

const texts = new Map([...mainPages, ...pluginPages].map((page) => [page, textOf(page)]));
const everything = [...texts.values()].join('\n');
const commands = commandsOf(mainPages);
const { written: files } = filesOf(mainPages);

/** The text of a page's section, up to the next heading of its level. */
function section(page: string, heading: string): string {
  const found = texts
    .get(page)
    ?.split(/^## /m)
    .find((part) => part.startsWith(`${heading}\n`));
  if (found === undefined) throw new Error(`${page} has no section "${heading}"`);
  return found;
}

const few = { steps: 1, evaluations: 0 };
/** What makes a command short, by how it begins; every other one is run exactly as shown. */
const short: Readonly<Record<string, Readonly<Record<string, string | number>>>> = {
  'run presets/nano/sft.yaml': { batch: 4, examples: 4 },
  'launch --ranks 4': { steps: 2, batch: 4, examples: 4 },
  'launch --ranks 2': { steps: 3 },
  'run mine/brief.yaml': { ...few, prompts: 4, groupSize: 4, rationaleTokens: 40 },
  'run mine/seen.yaml': { ...few, prompts: 2, groupSize: 4, rationaleTokens: 40 },
  'run mine/tracked.yaml': { ...few, prompts: 2, groupSize: 4, rationaleTokens: 40 },
  'run presets/nano/grpo.yaml --set steps=2 --sweep': { ...few, prompts: 2, groupSize: 4, rationaleTokens: 40 },
  'run mine/unified.yaml': { steps: 2, batch: 4, examples: 4 },
  'run mine/captions.yaml': { steps: 2, batch: 4 },
  'run mine/lora.yaml': { steps: 2, batch: 4, examples: 4 },
  // The tokenizer of the small model knows single characters.
  'generate --model': { promptTokens: 200, rationaleTokens: 12 },
  'ask "What': { answerTokens: 12 },
  'evaluate --model hub': { 'benchmarks.understanding.questionTokens': 1024 },
  'run presets/janus-pro-1b/sft-lora.yaml': { steps: 2, batch: 4, warmup: 0, 'recipe.validation.examples': 4 },
  'evaluate presets/nano/evaluate.yaml': { count: 6, batch: 6, splits: '[heldout]' },
  'evaluate runs/mine': { count: 6, batch: 6, splits: '[heldout]' },
  'evaluate --model runs/mine': { count: 6, batch: 6, splits: '[heldout]' },
  'evaluate mine/own.yaml': { batch: 4 },
  'run mine/queued.yaml': { steps: 1, prompts: 2, promptsAtOnce: 1, groupSize: 2, miniBatches: 1, evaluations: 0 },
  'run mine/shared-out.yaml': { steps: 1, prompts: 2, promptsAtOnce: 1, groupSize: 2, miniBatches: 1, evaluations: 2 },
  'generate --preset presets/nano/generate.yaml --layout geneval': { count: 2, batch: 8, promptTokens: 64 },
  'run presets/nano/full.yaml': {
    ...{ 'vq.steps': 1, 'vq.batch': 2 },
    ...{ 'sft.steps': 1, 'sft.batch': 4, 'sft.examples': 4 },
    ...{
      'grpo.steps': 1,
      'grpo.evaluations': 0,
      'grpo.prompts': 2,
      'grpo.groupSize': 2,
      'grpo.downSample': 2,
      'grpo.miniBatches': 1,
    },
    ...{ 'evaluate.count': 6, 'evaluate.batch': 6, 'evaluate.splits': '[heldout]' },
  },
};

const published = 'deepseek-community/Janus-Pro-1B';
let clone = '';
let hub: FakeHub;
/** undefined where there is no Redis. */
let redis: RedisServer | undefined;
beforeAll(async () => {
  clone = mkdtempSync(join(tmpdir(), 'reasongen-readme-'));
  for (const name of ['core', 'kernels', 'plugins', 'presets', 'node_modules', 'package.json', 'tsconfig.json'])
    symlinkSync(join(root, name), join(clone, name));
  for (const { name, text } of files) {
    mkdirSync(dirname(join(clone, name)), { recursive: true });
    writeFileSync(join(clone, name), text);
  }
  const model = janusFolder(join(clone, 'small'), 'tiny-a');
  hub = new FakeHub(
    Object.fromEntries(readdirSync(model).map((name) => [name, readFileSync(join(model, name))])),
    published,
  );
  await hub.open();
  if (findRedis() === undefined) process.stderr.write(`${redisHint}\n`);
  else redis = await RedisServer.start();
  if (findOpenMpi() === undefined) process.stderr.write(`${openMpiHint}\n`);
  await writeData();
});
afterAll(async () => {
  await hub.close();
  await redis?.end();
  rmSync(clone, { recursive: true });
});

/** What the pages take to be there: models of judges, captioned pictures of one's own, and the published data set in the cache. */
async function writeData(): Promise<void> {
  cpSync(join(root, 'test/golden/evidence'), join(clone, 'models'), { recursive: true });
  cpSync(join(root, 'test/golden/qwen-vl/qwen2.5-tiny-a'), join(clone, 'models/qwen2.5-vl'), { recursive: true });
  mkdirSync(join(clone, 'data'));
  await writeBenchmarkData();
  writeFileSync(join(clone, 'data/one.png'), await picture('red'));
  const line = JSON.stringify({ file: 'one.png', caption: 'a red square', plan: 'red everywhere' });
  writeFileSync(join(clone, 'data/captions.jsonl'), `${line}\n`.repeat(5));
  const dataset = join(clone, 'hub/datasets--Franklin0--ReasonGen-R1-SFT-230k');
  for (const folder of ['refs', `snapshots/${commit}`]) mkdirSync(join(dataset, folder), { recursive: true });
  writeFileSync(join(dataset, 'refs/main'), commit);
  writeParquet(join(dataset, `snapshots/${commit}/train-0.parquet`), await captionRows(40), 10);
}

/** Of benchmarks whose prompts are not shipped: a few of the same form. */
async function writeBenchmarkData(): Promise<void> {
  const write = (name: string, text: string): void => {
    mkdirSync(dirname(join(clone, 'data', name)), { recursive: true });
    writeFileSync(join(clone, 'data', name), text);
  };
  const header =
    'item_id,text,keywords,proposition_id,dependency,category_broad,category_detailed,tuple,question_natural_language';
  write('dpg_bench.csv', `${header}\none,a red bird,,1,0,entity,whole,entity - whole (bird),Is there a bird?\n`);
  write('t2i-compbench/non_spatial_val.txt', 'A bird is singing.\n');
  write('t2i-compbench/color_val.txt', 'a red bird and a blue cup\n');
  for (const number of ['000000', '000001'])
    for (const name of ['non_spatial/samples/A bird is singing.', 'color/samples/a red bird and a blue cup']) {
      write(`t2i-pictures/${name}_${number}.png`, '');
      writeFileSync(join(clone, `data/t2i-pictures/${name}_${number}.png`), await picture('red'));
    }
  write(
    'geneval2.jsonl',
    `${JSON.stringify({ prompt: 'two cups', vqa_list: [['How many cups?', 'two']], skills: ['count'] })}\n`,
  );
  write(
    'wise.json',
    JSON.stringify([{ Prompt: 'the national bird of New Zealand', Explanation: 'a kiwi', prompt_id: 7 }]),
  );
  const asked = blocksOf(['plugins/README.md']).find(({ language }) => language === 'jsonl')?.text ?? '';
  write('questions.jsonl', asked);
  write('prompts.txt', 'a red bird\na blue cup\n');
}

interface LineEnd {
  readonly status: number | null;
  readonly output: string;
  readonly errors: string;
}

/** Starts a line of the README in the clone. */
function begin(line: string): { readonly child: ChildProcess; readonly ended: Promise<LineEnd> } {
  const words = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, inQuotes, plain]) => inQuotes ?? plain ?? '').slice(2);
  const [, settings = {}] =
    Object.entries(short).find(([beginning]) => line.startsWith(`npx reasongen ${beginning}`)) ?? [];
  const more = Object.entries(settings).flatMap(([path, value]) => ['--set', `${path}=${value}`]);
  const folders = { HF_ENDPOINT: hub.url, HF_HUB_CACHE: join(clone, 'hub') };
  const env = { ...process.env, REASONGEN_QUIET: '1', REASONGEN_QUEUE: redis?.url, ...folders };
  let end = (_result: LineEnd): void => {};
  const ended = new Promise<LineEnd>((done) => (end = done));
  const child = execFile(
    process.execPath,
    ['core/bin.mjs', ...words, ...more],
    { cwd: clone, encoding: 'utf8', env, maxBuffer: 2 ** 26 },
    (_error, output, errors) => end({ status: child.exitCode, output, errors }),
  );
  return { child, ended };
}

/** Presets with a queue. */
const withQueue = /(mine\/(?:queued|shared-out)\.yaml)/;

/** Runs a line of the README in the clone. What serves until it is told to end is told when it does. */
async function run(line: string): Promise<LineEnd> {
  const { child, ended } = begin(line);
  if (/ (watch|serve) /.test(line)) child.stdout?.once('data', () => child.kill('SIGTERM'));
  if (line.includes(' worker ')) await endOnceServing(child);
  const [, queued] = withQueue.exec(line) ?? [];
  if (queued === undefined || !line.includes(' run ')) return ended;
  // Somebody has to work for it.
  const worker = begin(`npx reasongen worker ${queued}`);
  const result = await ended;
  worker.child.kill('SIGTERM');
  await worker.ended;
  return result;
}

function endOnceServing(child: ChildProcess): Promise<void> {
  return new Promise((done) => {
    const end = (): void => {
      child.kill('SIGTERM');
      done();
    };
    child.once('close', done);
    child.stderr?.on('data', (chunk) => {
      if (/ serves /.test(String(chunk))) end();
    });
  });
}

const pictures = (folder: string): string[] => readdirSync(join(clone, folder)).filter((name) => name.endsWith('.png'));

/** Exit codes other than 0: what is done already cannot be trained further, and leaks are no success. */
const exits: Readonly<Record<string, number>> = {
  'npx reasongen resume runs/mine': 7,
  // Prompts of the same rules are among the held-out ones.
  'npx reasongen data leaks out/prompts.jsonl presets/prompts/held-out.jsonl': 1,
};

/** What must have come of a command, beyond its exit code. */
const outcomes: Readonly<Record<string, (result: LineEnd) => void | Promise<void>>> = {
  'run presets/nano/sft.yaml': () => expect(metricsOf(join(clone, 'runs/mine'))).toHaveLength(50),
  'resume runs/mine': ({ errors }) => expect(errors).toContain('is done already'),
  'check presets/nano/grpo.yaml': ({ output }) =>
    expect(output).toMatch(/16 prompts x groups of 8 = 128 drawings[^]*memory: /),
  'show presets/nano/grpo.yaml': ({ output }) => expect(output).toMatch(/prompts: 8 +# --set prompts=8/),
  'describe reward nano-verdict': ({ output }) => expect(output).toContain('strict'),
  'generate --preset presets/nano/generate.yaml --layout geneval': () =>
    expect(pictures('out/geneval/pictures/geneval/00001/samples')).toHaveLength(4),
  'describe benchmark': ({ output }) => expect(output).toMatch(/geneval2?[^]*prompts of a file/),
  'evaluate --model hub': ({ output }) => expect(output).toMatch(/^understanding, heldout: \d of 3 pass/m),
  'check mine/answered.yaml': ({ output }) => expect(output).toContain('every option is valid'),
  'check mine/looking.yaml': ({ output }) => expect(output).toMatch(/judges/),
  'check mine/local-judge.yaml': ({ output }) =>
    expect(output).toMatch(/place of rewards\.vlm-judge: device .* \(chosen\)/),
  'check mine/geneval2.yaml': ({ output }) => expect(output).toContain('geneval2: 1 split(s) x 1 prompts'),
  'check mine/wise.yaml': ({ output }) => expect(output).toContain('wise: 1 split(s) x 1 prompts'),
  'generate --preset presets/nano/generate.yaml': () => expect(pictures('out/cakes')).toHaveLength(4),
  'generate --preset runs/mine': () => expect(pictures('out/bird')).toHaveLength(1),
  'evaluate runs/mine': ({ errors }) => expect(errors).toMatch(/heldout: \d of 6 right/),
  'evaluate --model runs/mine': ({ output }) => expect(output).toMatch(/nano-geneval, heldout: \d of 6 pass/),
  'evaluate mine/geneval.yaml': ({ output }) =>
    expect(output).toMatch(/^GenEval \(.+ \+ .+\): overall 0\.\d+ [^]*2204 of 2212 pictures missing/),
  'run mine/dpg.yaml': () => expect(pictures('runs/dpg/pictures/dpg')).toEqual(['one.png']),
  'evaluate mine/compbench.yaml': ({ output }) =>
    expect(output).toMatch(/color: not available, no judge of the run says all of `answerProbabilities`/),
  'evaluate mine/own.yaml': ({ errors }) => expect(errors).toMatch(/heldout: /),
  'evaluate presets/nano/evaluate.yaml --run-dir': ({ errors }) => expect(errors).toMatch(/heldout: \d+ of \d+ right/),
  'compare runs/start': ({ output }) => {
    expect(output).toMatch(/^A: .*start[^]*^B: .*mine-evaluation/m);
    expect(readFileSync(join(clone, 'out/compare.html'), 'utf8')).toContain('<html');
  },
  'data prompts': () =>
    expect(readFileSync(join(clone, 'out/prompts.jsonl'), 'utf8').trim().split('\n')).toHaveLength(100),
  'data leaks': ({ output }) => expect(output).toMatch(/normalized {2}out\/prompts\.jsonl/),
  'data rationales': ({ output, errors }) => {
    expect(output).toMatch(/^100 requests to Qwen\/Qwen2\.5-7B-Instruct/);
    expect(errors).toContain('nothing has been asked');
  },
  'create reward': () =>
    expect(readdirSync(join(clone, 'reasongen-plugin-my-reward'))).toEqual(
      expect.arrayContaining(['package.json', 'preset.yaml', 'src']),
    ),
  'checkpoint verify runs/mine': ({ output }) => expect(output).toContain('as saved'),
  'report runs/mine': ({ output }) =>
    expect(readFileSync(join(clone, output.trim()), 'utf8')).toContain('50 training steps'),
  plugins: ({ output }) => expect(output).toMatch(/optimizers .*\n {2}optimizer: adamw/),
  serve: ({ output }) => expect(output).toMatch(/^http:\/\/localhost:\d+\/v1$/m),
  'watch runs': ({ output }) => expect(output).toMatch(/^http:\/\/localhost:\d+\/$/m),
  'runs runs': ({ output }) => expect(output).toContain('mine'),
  'completion bash': ({ output }) => expect(output).toContain('verify-device'),
  setup: ({ output }) => expect(output).toMatch(/lavapipe|swiftshader|gpu/i),
  'init my-judge': () =>
    expect(readdirSync(join(clone, 'my-judge'))).toEqual(expect.arrayContaining(['train.yaml', 'package.json'])),
  doctor: ({ output }) => expect(output).toContain('This machine can run'),
  'verify-device --only linear': ({ output }) => expect(output).toContain('all right'),
  'check mine/formed.yaml': ({ output }) => expect(output).toContain('every option is valid'),
  'check mine/judged.yaml': ({ output }) => expect(output).toContain('every option is valid'),
  'run mine/captions.yaml': () => expect(metricsOf(join(clone, 'runs/captions'))).toHaveLength(2),
  'run mine/lora.yaml': () => {
    expect(metricsOf(join(clone, 'runs/lora'))).toHaveLength(2);
    expect(readdirSync(join(clone, 'runs/lora/checkpoints/step-000002'))).toEqual(
      expect.arrayContaining(['adapter_model.safetensors', 'adapter_config.json']),
    );
  },
  'pull ': ({ output }) =>
    expect(readdirSync(output.trim())).toEqual(
      expect.arrayContaining(['config.json', 'model.safetensors', 'tokenizer.json']),
    ),
  'generate --model': () => expect(pictures('out/janus')).toHaveLength(2),
  // Random weights may end at once.
  'ask ': () =>
    expect(readFileSync(join(clone, 'runs/published/answers.jsonl'), 'utf8')).toContain('What is in this picture?'),
  'run presets/janus-pro-1b/sft-lora.yaml': () =>
    expect(metricsOf(join(clone, 'runs/janus-pro-1b-sft-lora'))).toHaveLength(2),
  'export ': async () => {
    const { source } = await openModelSource(join(clone, 'models/janus-mine'), janusNames);
    expect(source.entries.get('lm_head.weight')).toMatchObject({ type: 'BF16', shape: [128, 32] });
    await source.close();
  },
  'run mine/brief.yaml': () => {
    const [first] = metricsOf(join(clone, 'runs/brief'));
    expect(first).toMatchObject({ 'reward/brevity': expect.any(Number), 'reward/nano-verdict': expect.any(Number) });
    expect(Number(first?.['reward'])).toBeCloseTo(
      Number(first?.['reward/nano-verdict']) + 0.2 * Number(first?.['reward/brevity']),
      6,
    );
  },
  'run presets/nano/grpo.yaml --set steps=2 --sweep': ({ output }) => expect(output).toMatch(/learningRate=3e-4 /),
  'samples runs/rates': () => expect(existsSync(join(clone, 'out/sheet.png'))).toBe(true),
  'replay runs/rates': ({ output }) => expect(output).toMatch(/^bit-equal: /m),
  'run mine/tracked.yaml': ({ errors }) => {
    expect(errors).toContain('nobody will be notified: CHAT_WEBHOOK');
    expect(readdirSync(join(clone, 'runs/tracked'))).toEqual(expect.arrayContaining(['tensorboard', 'wandb']));
  },
  'worker mine/queued.yaml': ({ errors }) => expect(errors).toMatch(/worker \S+ has done 0 jobs/),
  'workers mine/queued.yaml': ({ output }) => expect(output).toBe('no worker serves this queue\n'),
  'worker mine/shared-out.yaml --for judge': ({ errors }) =>
    expect(errors).toMatch(/serves [^]*: answers for reward "nano-verdict"; self-check: it does not draw/),
  'worker mine/shared-out.yaml': ({ errors }) =>
    expect(errors).toMatch(/draws with .*, answers for benchmark "nano-geneval"/),
  'run mine/shared-out.yaml': ({ errors }) => {
    expect(errors).toMatch(/answered for reward "nano-verdict" \d+ times/);
    expect(errors).toMatch(/answered for benchmark "nano-geneval" \d+ times/);
  },
  'run mine/queued.yaml': ({ errors }) => expect(errors).toMatch(/worker \S+ has drawn \d+ sequences/),
  'launch --ranks 4': () => expect(metricsOf(join(clone, 'runs/ranks'))).toHaveLength(2),
  'launch --ranks 2': () => expect(metricsOf(join(clone, 'runs/ranks'))).toHaveLength(3),
  'sync runs/tracked': ({ errors }) => expect(errors).toContain('wandb: all is sent'),
  'run mine/seen.yaml': () =>
    expect(metricsOf(join(clone, 'runs/seen'))).toMatchObject([{ 'reward/clip-score': expect.any(Number) }]),
  'run mine/unified.yaml': () => {
    expect(metricsOf(join(clone, 'runs/unified'))).toHaveLength(2);
    expect(readFileSync(join(clone, 'runs/unified/preset.yaml'), 'utf8')).toContain('unified-nano');
  },
  'run presets/nano/full.yaml': () => expect(existsSync(join(clone, 'runs/nano-full/evaluate/evaluations'))).toBe(true),
};

// The whole chain comes last: it is the longest.
const order = commands
  .filter((line) => !line.includes('full.yaml') && (findRedis() !== undefined || !withQueue.test(line)))
  .filter((line) => findOpenMpi() !== undefined || !line.includes(' launch '))
  .concat(commands.filter((line) => line.includes('full.yaml')));

describe('commands', () => {
  test.each(order)(
    '%s',
    async (line) => {
      const [, check] = Object.entries(outcomes).find(([start]) => line.startsWith(`npx reasongen ${start}`)) ?? [];
      const result = await run(line);
      expect(result.status, result.errors).toBe(exits[line] ?? 0);
      if (check === undefined) throw new Error('say in `outcomes` what this command must give');
      await check(result);
    },
    300_000,
  );

  test('the numbers they wrote are all explained', () => {
    const cells = [...section('presets/README.md', 'Metrics').matchAll(/^\| (`[^|]+) \| \w+ \|/gm)].flatMap(
      ([, cell = '']) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name),
    );
    const explained = (name: string): boolean =>
      cells.some(
        (cell) =>
          name === cell ||
          (cell.startsWith('…') && name.endsWith(cell.slice(1))) ||
          (cell.endsWith('/NAME') && name.startsWith(cell.slice(0, -4))),
      );
    const written = ['mine', 'brief', 'captions', 'janus-pro-1b-sft-lora', 'nano-full/vq'].flatMap((name) =>
      metricsOf(join(clone, 'runs', name)).flatMap((line) => Object.keys(line)),
    );
    expect(written).toContain('image/crossEntropy');
    expect([...new Set(written)].filter((name) => !explained(name))).toEqual([]);
  });

  test('each has an example', async () => {
    const { output } = await commandLine(['--help']);
    const names = [...(output.split('Commands:')[1] ?? '').matchAll(/^ {2}([\w-]+)/gm)]
      .map(([, name]) => name)
      .filter((name) => name !== 'help');
    expect(names.length).toBeGreaterThan(6);
    expect(
      names.filter(
        (name) =>
          !commands.some((line) => line.startsWith(`npx reasongen ${name} `) || line === `npx reasongen ${name}`),
      ),
    ).toEqual([]);
  });

  test('npm scripts it names exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const mentioned = [...everything.matchAll(/npm (?:run ([\w:]+)|(test))/g)].map(
      ([, script, file]) => script ?? file ?? '',
    );
    expect(mentioned).toContain('quickstart');
    expect(mentioned.filter((name) => scripts[name] === undefined)).toEqual([]);
  });
});

test('files of the repository are quoted as they are, and a file is shown once, so that no page contradicts another', () => {
  const { quoted, written } = filesOf([...mainPages, ...pluginPages]);
  expect(quoted.map(({ name }) => name)).toContain('kernels/pointwise/scale.wgsl');
  for (const { name, text } of quoted) expect(text.slice(text.indexOf('\n') + 1), name).toBe(textOf(name));
  const names = [...quoted, ...written].map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
});

test('the reward is a whole file of fewer than 30 lines', () => {
  const [reward] = files.filter(({ name }) => name.endsWith('.ts'));
  expect(reward?.text.trim().split('\n').length).toBeLessThan(30);
});

describe('facts', () => {
  test('exit codes are those of the program', () => {
    const rows = section('presets/README.md', 'Exit codes').matchAll(/^\| ([\d, ]+) \| /gm);
    const table = [...rows].flatMap(([, codes = '']) => codes.split(',').map(Number));
    // 70 and 137 are the supervisor's, for a program that died or was killed.
    expect(table.filter((code) => code !== 70 && code !== 137)).toEqual(Object.values(exitCodes));
  });

  test('environment variables are read somewhere', () => {
    const sources = readdirSync(join(root, 'core'), { recursive: true, encoding: 'utf8' }).filter((name) =>
      /\.(ts|mjs)$/.test(name),
    );
    const text = sources.map((name) => readFileSync(join(root, 'core', name), 'utf8')).join('\n');
    const mentioned = [...everything.matchAll(/`(REASONGEN_\w+)`/g)].map(([, name = '']) => name);
    expect(mentioned.length).toBeGreaterThan(3);
    expect(mentioned.filter((name) => !text.includes(name))).toEqual([]);
  });

  test.each([...texts.keys()])('links of %s lead somewhere', (page) => {
    const links = [...(texts.get(page) ?? '').matchAll(/\]\(([^)]+)\)/g)].map(([, link = '']) => link);
    const broken = links.filter((link) => {
      if (link.startsWith('http')) return false;
      const [path = '', heading] = link.split('#');
      const target = path === '' ? page : relative(root, resolve(root, dirname(page), path));
      if (!existsSync(join(root, target))) return true;
      return heading !== undefined && !anchors(readFileSync(join(root, target), 'utf8')).includes(heading);
    });
    expect(broken).toEqual([]);
  });

  test('decisions are numbered from 1 on, and every folder of core is explained', () => {
    const page = texts.get('core/README.md') ?? '';
    const numbers = [...section('core/README.md', 'Decisions').matchAll(/^\*\*(\d+)?/gm)].map(([, number]) =>
      Number(number),
    );
    expect(numbers.length).toBeGreaterThan(30);
    expect(numbers).toEqual(numbers.map((_number, index) => index + 1));
    const folders = readdirSync(join(root, 'core'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
    const table = page.slice(page.indexOf('| folder | what |'));
    expect(folders.map(({ name }) => name).filter((name) => !table.includes(`${name}/`))).toEqual([]);
  });

  test('the first page is one screen', () => {
    expect(Buffer.byteLength(texts.get('README.md') ?? '')).toBeLessThan(6500);
  });
});

/** What a forge makes of a page's headings. */
function anchors(page: string): string[] {
  return [...page.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
