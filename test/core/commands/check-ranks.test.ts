/** `check --ranks`: the plan of one of several ranks, and what cannot go over them. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { expectMessage } from '../../bad-input/message.ts';
import { commandLine } from '../../support/command-line.ts';
import { root } from '../../support/runs.ts';

const preset = join(root, 'presets/nano/grpo.yaml');
const check = (file: string, ...args: string[]): ReturnType<typeof commandLine> =>
  commandLine(['check', file, ...args], { ...process.env, REASONGEN_NO_DRIVER: '1' });

async function bytesOn(ranks: number, ...settings: string[]): Promise<Record<string, number>> {
  const sets = settings.flatMap((each) => ['--set', each]);
  const { output } = await check(preset, '--json', '--ranks', String(ranks), ...sets);
  const { stages } = JSON.parse(output) as {
    readonly stages: readonly { readonly ranks: number; readonly bytes: Record<string, number> }[];
  };
  expect(stages[0]?.ranks).toBe(ranks);
  return stages[0]?.bytes ?? {};
}

test('each rank keeps its part of the state of AdamW: two numbers of four bytes a weight', async () => {
  const kind = 'weights, gradients, optimizer';
  const [alone, four] = [await bytesOn(1), await bytesOn(4)];
  const state = 8 * 1.35e6;
  expect(((alone[kind] ?? 0) - (four[kind] ?? 0)) / (0.75 * state)).toBeCloseTo(1, 1);
  // Muon looks at whole matrices: every rank keeps the whole.
  const muon = await Promise.all([1, 4].map((ranks) => bytesOn(ranks, 'optimizer={use: muon, learningRate: 1e-3}')));
  expect((muon[1]?.[kind] ?? 0) / (muon[0]?.[kind] ?? 1)).toBeCloseTo(1, 2);
});

test('says whose plan it is', async () => {
  const { output } = await check(preset, '--ranks', '4');
  expect(output).toContain('each of 4 ranks:\n');
  expect(output).toContain('1 micro-batch of at most 8 drawings per update');
});

test('what cannot go over ranks is refused', async () => {
  expectMessage(await check(join(root, 'presets/nano/vq.yaml'), '--ranks', '2'), {
    ...{ exit: 2, code: 'NOT_OVER_RANKS', says: [/recipe "train-codec" runs in one process, and this is rank 1 of 2/] },
  });
  expectMessage(await check(preset, '--ranks', '17'), {
    ...{ exit: 2, code: 'TOO_MANY_RANKS', says: [/recipe\.prompts is 16, and there are 17 ranks/] },
  });
});
