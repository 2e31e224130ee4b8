/**
 * What computing blocks again costs and saves: the SFT step of the nano model with everything kept, with nothing, and with budgets between, in f32 and in f16.
 *   npm run bench:recompute [-- ROUNDS]
 * A round takes one step of each, from another one on each time, so that whatever slows the machine down slows all alike. Time is that of the processor
 * (`process.cpuUsage`), on a software adapter all of the work; other load only ever adds, so the least is nearest to the truth.
 */
import type { ActivationType } from '../../core/autograd/kept-halves.ts';
import type { Recompute } from '../../core/autograd/recompute.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import { openDevice } from '../../core/gpu/device.ts';
import { at } from '../../core/tensor/at.ts';
import { sftStep, type WholeStep } from './cases/nano.ts';
import { countWork } from './work.ts';

const rounds = Number(process.argv[2] ?? 12);
const mebibyte = 2 ** 20;
const budgets: readonly Recompute[] = [4, 8, 16, 32, 48, 64].map((size) => ({ budget: size * mebibyte }));
const choices: readonly Choice[] = [
  ...[false, true, ...budgets].map((recompute) => ({ recompute, activations: 'f32' as const })),
  ...[false, true, { budget: 16 * mebibyte }].map((recompute) => ({ recompute, activations: 'f16' as const })),
];

interface Choice {
  readonly recompute: Recompute;
  readonly activations: ActivationType;
}

interface Measured {
  readonly choice: Choice;
  readonly step: WholeStep;
  readonly bytes: number;
  readonly launches: number;
  readonly milliseconds: number[];
}

const device = await openDevice();
const all: Measured[] = [];
for (const choice of choices) {
  const workspace = new Workspace(device);
  const step = await sftStep(device, choice, workspace);
  const launched = await countWork(() => step.case.run(1));
  all.push({ choice, step, bytes: workspace.bytes, launches: launched.length, milliseconds: [] });
}
for (let round = 0; round < rounds; round++)
  for (const { step, milliseconds } of [...all.slice(round % all.length), ...all.slice(0, round % all.length)]) {
    const before = process.cpuUsage();
    await step.case.run(1);
    const { user, system } = process.cpuUsage(before);
    milliseconds.push((user + system) / 1000);
  }

const sorted = ({ milliseconds }: Measured): number[] => milliseconds.toSorted((a, b) => a - b);
const least = (measured: Measured): number => at(sorted(measured), 0);
const quarter = (measured: Measured): number => at(sorted(measured), Math.floor(rounds / 4));
const everything = at(all, 0);
process.stdout.write(`${device.adapter.device}, ${rounds} rounds\n\n`);
process.stdout.write(
  '| recompute | activations | memory of the step | launches | processor time, least | of keeping everything | the same, lower quartiles |\n|---|---|---|---|---|---|---|\n',
);
for (const one of all) {
  const { choice, bytes, launches } = one;
  const { recompute, activations } = choice;
  const name = typeof recompute === 'object' ? `{ budget: ${recompute.budget / mebibyte} MiB }` : String(recompute);
  const ratios = [least(one) / least(everything), quarter(one) / quarter(everything)].map((ratio) => ratio.toFixed(3));
  process.stdout.write(
    `| ${name} | ${activations} | ${(bytes / mebibyte).toFixed(1)} MiB | ${launches} | ${least(one).toFixed(0)} ms | ${ratios.join(' | ')} |\n`,
  );
}
device.close();
