/** `npm run bench`: how fast the kernels and the whole steps of the nano model are on this machine. LOG.md says how to read it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import { breakDown, type Breakdown } from './breakdown.ts';
import { linearCases } from './cases/linear.ts';
import { samplingSteps, sftStep, type WholeStep } from './cases/nano.ts';
import { operationCases } from './cases/operations.ts';
import { cpuClock, describeEnvironment } from './machine.ts';
import { measure, type Case } from './measure.ts';
import { rowsOf, toMarkdown, type Report } from './report.ts';
import { measuredRates } from './work.ts';

const usage = `usage: npm run bench -- [--quick] [--only WORD[,WORD]] [--json FILE]
  --quick   3 short samples without repeats: to see that everything runs
  --only    cases whose group or name contains one of these words
            (groups: linear, attention, norm, loss, conv, pointwise, step, sampling)
  --json    where the figures go (default runs/bench/<date>.json)
`;

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean' },
    only: { type: 'string' },
    json: { type: 'string' },
    help: { type: 'boolean' },
  },
});

if (options.help === true) process.stdout.write(usage);
else await bench();

async function bench(): Promise<void> {
  const started = performance.now();
  const words = options.only?.split(',').filter((word) => word !== '');
  const isWanted = ({ group, name }: Case): boolean =>
    words?.some((word) => group.includes(word) || name.includes(word)) ?? true;
  const settings =
    options.quick === true
      ? { rounds: 3, sampleMilliseconds: 30, repeats: 0, tolerance: 0.1 }
      : { rounds: 5, sampleMilliseconds: 120, repeats: 4, tolerance: 0.1 };
  const say = (line: string): void => void process.stderr.write(`${line}\n`);

  const device = await openDevice();
  const environment = describeEnvironment(device);
  const steps = await wholeSteps(device, words);
  const all = [...(await linearCases(device)), ...(await operationCases(device)), ...steps.map((step) => step.case)];
  const wanted = all.filter(isWanted);
  const cases = all.filter((each) => isWanted(each) || wanted.some(({ reference }) => reference === each.name));
  if (wanted.length === 0) {
    device.close();
    say(`no case contains "${words?.join('" or "')}"\n${usage}`);
    process.exitCode = 2;
    return;
  }
  say(`${cases.length} cases: checking and warming up`);
  const results = await measure(cases, {
    ...settings,
    clock: cpuClock,
    onRound: (round, count) => say(`round ${round + 1}: ${count} cases`),
  });

  const breakdowns: Breakdown[] = [];
  if (device.has('timestamp-query')) {
    const rates = await measuredRates(device);
    for (const step of steps.filter((each) => isWanted(each.case))) {
      say(`timing the kernels of: ${step.name}`);
      breakdowns.push(await breakDown(device, step, 3, rates));
    }
  }
  device.close();

  const seconds = (performance.now() - started) / 1000;
  const report: Report = { environment, settings, rows: rowsOf(results), breakdowns, seconds };
  const path =
    options.json ?? join('runs', 'bench', `${environment.date.replaceAll(':', '-').replace(/\..*$/, '')}.json`);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(report, undefined, 1)}\n`);
  process.stdout.write(`${toMarkdown(report)}\nfigures: ${path}\n`);
}

/** The steps are costly to set up: only where one is asked for. */
async function wholeSteps(device: Device, words: readonly string[] | undefined): Promise<WholeStep[]> {
  const touches = (text: string): boolean => words?.some((word) => text.includes(word)) ?? true;
  return [
    ...(touches('step SFT step, 32 sequences') ? [await sftStep(device)] : []),
    ...(touches('sampling 128 rows, guidance') ? await samplingSteps(device) : []),
  ];
}
