/**
 * What an open page costs a run: `npm run bench:page -- [STEPS] [elsewhere|here]`, 80 steps of the quickstart unless told, twice. Each run serves the
 * page, which is opened and closed by turns, a few steps each; in the second one it is open where it was closed in the first. Both compute the same
 * bits, so each block of steps is compared with itself, and whatever makes one run slower than the other is on both sides. Prints the time of a step
 * either way, and the paired difference with its 95 % interval. `elsewhere` (the rule): a reader that asks all that an open page asks, pictures of
 * drawings too, as from another machine; `here`: a browser on this machine, which has work of its own. Exit code 1 when the page costs more than
 * 1 % for certain.
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

if (isHere && executablePath === undefined) throw new Error(chromiumHint);
const folder = mkdtempSync(join(tmpdir(), 'reasongen-bench-page-'));

/** Seconds of a step in each block of a run, the page open in those blocks. */
async function measure(name: string, isOpenBlock: (at: number) => boolean): Promise<number[]> {
  const directory = join(folder, name);
  const settings = [
    `recipe.steps=${steps + 1}`,
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
  while (!over.signal.aborted) {
    // The first step compiles: blocks begin behind it.
    const isOpen = isOpenBlock(Math.floor((timesOfSteps(directory).length - 1) / block));
    if (isOpen && page === undefined) page = await openPage();
    if (!isOpen && page !== undefined) {
      await page.close();
      page = undefined;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await page?.close();
  await browser?.close();
  const { code, text } = await ended;
  if (code !== 0) throw new Error(`the run ended with ${code}:\n${text}`);
  const times = timesOfSteps(directory);
  return Array.from({ length: Math.floor((times.length - 1) / block) }, (_, at) => {
    const from = 1 + at * block;
    // The step in which the page is opened or closed is left out.
    const [first = 0, last = 0] = [times[from], times[from + block - 1]];
    return (last - first) / (block - 1);
  });
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
const pairs = first.map((time, at) => {
  const other = second[at] ?? Number.NaN;
  const [before, after] = isOdd(at) ? [other, time] : [time, other];
  return { prompt: at, task: '', before, after };
});
const closed = mean(pairs.map(({ before }) => before));
const open = mean(pairs.map(({ after }) => after));
const { difference, low, high } = pairedDifference(
  pairs.map((pair) => ({ ...pair, before: pair.before / closed, after: pair.after / closed })),
);
const percent = (share: number): string => `${share < 0 ? '−' : '+'}${Math.abs(100 * share).toFixed(2)} %`;
process.stdout.write(
  `${pairs.length} blocks of ${block - 1} steps, each with the page open and closed, page ${isHere ? 'in a browser on this machine' : 'elsewhere'}: closed ${(1000 * closed).toFixed(0)} ms a step, open ${(1000 * open).toFixed(0)} ms; difference ${percent(difference)} [${percent(low)}, ${percent(high)}]\n`,
);
rmSync(folder, { recursive: true });
process.exitCode = low > allowed ? 1 : 0;
