/**
 * `npm run bench:gpu`: what this program makes of a GPU, in under ten minutes, beside PyTorch where the machine has it.
 * It builds nothing and installs nothing; JSON goes to a file, a table to standard output. A case that does not fit or fails is named
 * with its reason and the others go on.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openDevice, type Device } from '../../../core/gpu/device.ts';
import type { Rates } from '../../../core/gpu/known-adapters.ts';
import { describeEnvironment } from '../machine.ts';
import { summarize, timed } from '../measure.ts';
import { table } from '../report.ts';
import { countWork, leastMilliseconds, measuredRates } from '../work.ts';
import {
  attentionCase,
  convolutionCase,
  gemvCase,
  imageCase,
  memoryCases,
  productCase,
  publishedShapes,
  smallShapes,
  trainingCase,
  type GpuCase,
} from './cases.ts';

interface Row {
  readonly name: string;
  readonly milliseconds?: number;
  readonly spread?: number;
  readonly repetitions?: number;
  readonly rate?: number;
  readonly unit?: string;
  /** Of the memory ceiling measured in this run. */
  readonly memoryShare?: number;
  readonly gigabytes?: number;
  /** What it takes at least, by the copy and the product of f32 of this run, and launches. */
  readonly leastMilliseconds?: number;
  readonly launches?: number;
  /** Time of PyTorch over ours. */
  readonly overTorch?: number;
  readonly error?: string;
}

const { values: options } = parseArgs({
  options: {
    small: { type: 'boolean', default: false },
    minutes: { type: 'string', default: '9' },
    only: { type: 'string' },
    json: { type: 'string', default: join('runs', 'bench', 'gpu.json') },
    help: { type: 'boolean', default: false },
  },
});

if (options.help) {
  process.stdout.write(`usage: npm run bench:gpu -- [--small] [--only WORD[,WORD]] [--minutes 9] [--json FILE]
  --small    tiny shapes: only shows that everything runs, also without a GPU
  --only     cases whose name contains one of the words
  --minutes  no case is begun after this long
`);
} else await main();

async function main(): Promise<void> {
  const started = performance.now();
  const shapes = options.small ? smallShapes : publishedShapes;
  const device = await openDevice();
  if (device.adapter.isSoftware && !options.small) {
    process.stderr.write(
      'this adapter is a processor: published shapes would take hours. `npm run bench:gpu -- --small` shows that everything runs.\n',
    );
    device.close();
    process.exitCode = 2;
    return;
  }
  const isWanted = (name: string): boolean => options.only?.split(',').some((word) => name.includes(word)) ?? true;
  const rows: Row[] = [];
  let ceiling = 0;
  const environment = describeEnvironment(device);
  const rates = await measuredRates(device);
  /** Whatever ends it, what was measured is there. */
  const save = (all: readonly Row[] = rows, torch?: Torch): void => {
    const seconds = (performance.now() - started) / 1000;
    const shapesUsed = options.small ? 'small' : 'published';
    const figures = {
      environment,
      limits: limitsOf(device),
      shapes: shapesUsed,
      ceiling,
      rates,
      torch,
      rows: all,
      seconds,
    };
    mkdirSync(dirname(options.json), { recursive: true });
    writeFileSync(options.json, `${JSON.stringify(figures, undefined, 1)}\n`);
  };
  const one = async (name: string, make: () => Promise<GpuCase>): Promise<void> => {
    if (!isWanted(name)) return;
    if ((performance.now() - started) / 60000 > Number(options.minutes)) {
      rows.push({ name, error: 'left out: the time was up' });
      return;
    }
    process.stderr.write(`${((performance.now() - started) / 1000).toFixed(0)} s  ${name}\n`);
    let made: GpuCase | undefined;
    try {
      made = await make();
      rows.push(await measured(made, ceiling, rates));
      save();
    } catch (error) {
      rows.push({ name, error: error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error) });
    } finally {
      made?.close();
      await device.settle();
    }
  };
  const [copy, sum] = await memoryCases(device, shapes.copyMebibytes);
  for (const each of [copy, sum]) {
    if (each === undefined) continue;
    const row = await measured(each, 0);
    ceiling = Math.max(ceiling, row.rate ?? 0);
    rows.push(row);
  }
  copy?.close();
  sum?.close();
  for (const n of shapes.products)
    for (const storage of ['f32', 'f16', 'bf16'] as const)
      await one(`product ${n}^3, weights ${storage}`, () => productCase(device, n, storage));
  for (const n of shapes.products)
    for (const precision of ['f16', 'f32-split'] as const)
      await one(`product ${n}^3, ${precision}`, () => productCase(device, n, 'f32', precision));
  for (const precision of ['f32', 'f16', 'f32-split'] as const)
    await one(`convolution, ${precision}`, () => convolutionCase(device, shapes.convolution, precision));
  for (const storage of ['f32', 'bf16'] as const)
    await one(`one row x matrix, weights ${storage}`, () => gemvCase(device, shapes.gemv, storage));
  for (const backward of [false, true])
    await one(`attention${backward ? ', with backward' : ''}`, () => attentionCase(device, shapes.attention, backward));
  for (const [model, sizes] of Object.entries(shapes.models))
    for (const pictures of shapes.images.batches)
      await one(`${model}, ${pictures} pictures`, () => imageCase(device, model, sizes, pictures, shapes.images));
  const { model, sequences, tokens } = shapes.training;
  const sizes = shapes.models[model];
  if (sizes !== undefined)
    await one(`${model} training step`, () => trainingCase(device, model, sizes, sequences, tokens));
  device.close();
  if (!options.small) process.stderr.write(`${toTable(rows)}\n\nthe same by PyTorch, at most ${torchSeconds} s\n`);
  const torch = options.small ? undefined : runTorch();
  const compared = rows.map((row): Row => {
    const theirs = torch?.rows[row.name];
    return theirs === undefined || row.milliseconds === undefined
      ? row
      : { ...row, overTorch: theirs / row.milliseconds };
  });
  save(compared, torch);
  const seconds = (performance.now() - started) / 1000;
  process.stdout.write(
    `${toTable(compared)}\n\nover least: of what copies and products of f32, as fast as the best ones here, would take\nadapter ${environment.adapter}; commit ${environment.commit ?? 'unknown'}; ${environment.date}; ${seconds.toFixed(0)} s\nPyTorch: ${torch?.description ?? 'not asked'}\nfigures: ${options.json}\n`,
  );
}

/** For all cases of PyTorch together. */
const torchSeconds = 180;

/** At least three repetitions, at most as many as fit into two seconds. */
async function measured(of: GpuCase, ceiling: number, rates?: Rates): Promise<Row> {
  const work = await countWork(() => of.run(1));
  const once = await timed(() => of.run(1));
  const samples: number[] = [];
  const perSample = Math.max(1, Math.floor(200 / Math.max(once, 0.01)));
  const wanted = once > 5000 ? 1 : 5;
  for (let i = 0; i < wanted; i++) samples.push((await timed(() => of.run(perSample))) / perSample);
  const { median, low, high } = summarize(samples);
  const rate = (of.work.amount / median) * 1000;
  const gigabytesPerSecond = of.readsBytes === undefined ? undefined : (of.readsBytes / median) * 1e-6;
  return {
    name: of.name,
    milliseconds: median,
    spread: (high - low) / 2 / median,
    repetitions: perSample * wanted,
    launches: work.length,
    ...(rates && { leastMilliseconds: leastMilliseconds(work, rates) }),
    rate,
    unit: `${of.work.unit}/s`,
    ...(gigabytesPerSecond === undefined || ceiling === 0 ? {} : { memoryShare: gigabytesPerSecond / ceiling }),
    ...(of.memory === undefined ? {} : { gigabytes: of.memory() / 1e9 }),
  };
}

function limitsOf(device: Device): Record<string, number> {
  const {
    maxBufferSize,
    maxStorageBufferBindingSize,
    maxComputeWorkgroupStorageSize,
    maxComputeInvocationsPerWorkgroup,
  } = device.limits;
  return {
    maxBufferSize,
    maxStorageBufferBindingSize,
    maxComputeWorkgroupStorageSize,
    maxComputeInvocationsPerWorkgroup,
  };
}

interface Torch {
  readonly description: string;
  /** Milliseconds by the name of our case. */
  readonly rows: Readonly<Record<string, number>>;
}

/** The same products, attention and decoding in eager mode; says why when it cannot. */
function runTorch(): Torch {
  const script = join(dirname(fileURLToPath(import.meta.url)), 'torch_eager.py');
  try {
    return JSON.parse(
      execFileSync('python3', [script], {
        encoding: 'utf8',
        timeout: torchSeconds * 1000,
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    ) as Torch;
  } catch (error) {
    return {
      description: `none here (${error instanceof Error ? error.message.split('\n')[0] : String(error)})`,
      rows: {},
    };
  }
}

function toTable(rows: readonly Row[]): string {
  const digits = (value: number): string =>
    value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(2) : value.toPrecision(3);
  const percent = (value: number | undefined): string => (value === undefined ? '' : `${(100 * value).toFixed(0)} %`);
  return table(
    ['case', 'ms', '±', 'rate', 'of memory', 'GB', 'launches', 'over least', 'PyTorch/ours'],
    rows.map(({ name, milliseconds, leastMilliseconds: least, launches, error, ...row }) => {
      const { spread, rate, unit, memoryShare, gigabytes, overTorch } = row;
      return milliseconds === undefined || rate === undefined
        ? [name, error ?? '', '', '', '', '', '', '', '']
        : [
            name,
            digits(milliseconds),
            percent(spread),
            `${digits(rate)} ${unit ?? ''}`,
            percent(memoryShare),
            gigabytes === undefined ? '' : gigabytes.toFixed(1),
            String(launches ?? ''),
            least === undefined ? '' : (milliseconds / least).toFixed(1),
            overTorch === undefined ? '' : overTorch.toFixed(2),
          ];
    }),
    ['case'],
  );
}
