/**
 * What an open page costs a run: `npm run bench:page -- [STEPS] [elsewhere|here]`, 80 steps of the quickstart unless told, twice. Each run serves the
 * page, which is opened and closed by turns, a few steps each; in the second one it is open where it was closed in the first. Both compute the same
 * bits, so each two blocks of steps are compared with themselves, and whatever makes one run slower than the other is on both sides. Prints the paired difference
 * with its 95 % interval twice: of the time of a step, which also holds what else this machine does, and (on Linux) of the processor time of the run,
 * as a share of the time of a step, which is what the page costs if nothing of it is hidden behind the device. `elsewhere` (the rule): a reader
 * that asks all that an open page asks, pictures of drawings too, as from another machine; `here`: a browser on this machine, which has work of its
 * own. Exit code 1 when a step takes more than 1 % longer for certain.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { pairedDifference } from '../../core/evaluation/paired.ts';
import { mean } from '../support/runs.ts';
import { executablePath, launchBrowser } from '../watch/browser.ts';
import { chromiumHint } from '../watch/chromium.mjs';
import { openReader, startProgram } from '../watch/started.ts';

const steps = Number(process.argv[2] ?? 80);
const isHere = process.argv[3] === 'here';
/** Steps with the page open, or closed; the first of each is no part of either. */
const block = 5;
const allowed = 0.01;
/** In which Linux tells the times of processes, on every processor that Node knows. */
const ticksPerSecond = 100;

if (isHere && executablePath === undefined) throw new Error(chromiumHint);
const folder = mkdtempSync(join(tmpdir(), 'reasongen-bench-page-'));

interface Cost {
  /** Seconds of a step. */
  readonly time: number;
  /** Seconds of processors that the run took for a step; NaN where the system does not say. */
  readonly processor: number;
}

/** A step in each block of a run, the page open in those blocks. */
async function measure(name: string, isOpenBlock: (at: number) => boolean): Promise<Cost[]> {
  const directory = join(folder, name);
  const settings = [
    `recipe.steps=${steps + 2}`,
    'recipe.evaluations=0',
    'recipe.samplesEvery=1',
    'recipe.saveEvery=1000000',
  ];
  const program = startProgram([
    ...['run', 'presets/quickstart.yaml', '--run-dir', directory, '--watch', '--port', '0'],
    ...settings.flatMap((setting) => ['--set', setting]),
  ]);
  const [, port = ''] = await program.said(/page: http:\/\/localhost:(\d+)\//);
  const browser = isHere ? await launchBrowser() : undefined;
  const openPage = async (): Promise<{ close(): Promise<void> }> =>
    browser === undefined ? openReader(Number(port)) : openInBrowser(browser, port);
  let page: { close(): Promise<void> } | undefined;
  const over = new AbortController();
  const ended = program.ended.finally(() => over.abort());
  const processor: number[] = [];
  while (!over.signal.aborted) {
    const written = timesOfSteps(directory).length;
    while (processor.length < written) processor.push(processorSeconds(program.pid));
    // The first step compiles: blocks begin behind it.
    const isOpen = isOpenBlock(Math.floor((written - 1) / block));
    if (isOpen && page === undefined) page = await openPage();
    if (!isOpen && page !== undefined) {
      await page.close();
      page = undefined;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await page?.close();
  await browser?.close();
  const { code, text } = await ended;
  if (code !== 0) throw new Error(`the run ended with ${code}:\n${text}`);
  const times = timesOfSteps(directory);
  // The step in which the page is opened or closed is left out.
  const aStep = (of: readonly number[], from: number): number =>
    ((of[from + block - 1] ?? Number.NaN) - (of[from] ?? Number.NaN)) / (block - 1);
  // The run ends soon after its last step, whose processor time may be missed: no block ends with it.
  return Array.from({ length: Math.floor((times.length - 2) / block) }, (_, at) => {
    const from = 1 + at * block;
    return { time: aStep(times, from), processor: aStep(processor, from) };
  });
}

/** Seconds of processors that a process has taken so far. */
function processorSeconds(pid: number | undefined): number {
  try {
    const status = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = status.slice(status.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
  } catch {
    return Number.NaN;
  }
}

/** When each step was written, in seconds. */
function timesOfSteps(directory: string): number[] {
  try {
    const lines = readFileSync(join(directory, 'metrics.ndjson'), 'utf8').split('\n').slice(0, -1);
    return lines.map((line) => Number((JSON.parse(line) as Record<string, unknown>)['unixSeconds']));
  } catch {
    return [];
  }
}

async function openInBrowser(where: Browser, port: string): Promise<Page> {
  const page = await where.newPage();
  await page.goto(`http://localhost:${port}/#/run/./samples`);
  return page;
}

const isOdd = (at: number): boolean => at % 2 === 1;
const first = await measure('first', isOdd);
const second = await measure('second', (at) => !isOdd(at));
const inTurn = first.map((one, at): readonly [Cost | undefined, Cost | undefined] =>
  isOdd(at) ? [second[at], one] : [one, second[at]],
);
const closedStep = mean(inTurn.map(([closed]) => closed?.time ?? Number.NaN));
const percent = (share: number): string => `${share < 0 ? '−' : '+'}${Math.abs(100 * share).toFixed(2)} %`;
/** The paired difference of what the blocks cost, as a share of the time of a step; prints it, and returns the lower end of its interval. */
function compare(what: string, of: (cost: Cost) => number): number {
  const meanOf = (costs: readonly (Cost | undefined)[]): number =>
    mean(costs.map((cost) => (cost === undefined ? Number.NaN : of(cost))));
  // Two blocks together have each run on both sides once.
  const pairs = Array.from({ length: Math.floor(inTurn.length / 2) }, (_, prompt) => {
    const both = inTurn.slice(2 * prompt, 2 * prompt + 2);
    return {
      prompt,
      task: '',
      before: meanOf(both.map(([closed]) => closed)),
      after: meanOf(both.map(([, open]) => open)),
    };
  });
  const { difference, low, high } = pairedDifference(
    pairs.map((pair) => ({ ...pair, before: pair.before / closedStep, after: pair.after / closedStep })),
  );
  const milliseconds = (side: 'before' | 'after'): string => (1000 * mean(pairs.map((pair) => pair[side]))).toFixed(0);
  process.stdout.write(
    `${what}: closed ${milliseconds('before')} ms a step, open ${milliseconds('after')} ms; difference ${percent(difference)} of a step [${percent(low)}, ${percent(high)}]\n`,
  );
  return low;
}
process.stdout.write(
  `${inTurn.length} blocks of ${block - 1} steps, each with the page open and closed, page ${isHere ? 'in a browser on this machine' : 'elsewhere'}\n`,
);
const low = compare('time', ({ time }) => time);
if (first.every(({ processor }) => Number.isFinite(processor))) compare('processors', ({ processor }) => processor);
rmSync(folder, { recursive: true });
process.exitCode = low > allowed ? 1 : 0;
