/** The other operations of the nano models at the sizes they have in a training step. */
import { Workspace } from '../../../core/autograd/workspace.ts';
import { grid, type Launch } from '../../../core/autograd/launch.ts';
import type { Device } from '../../../core/gpu/device.ts';
import { attention } from '../../../core/ops/attention.ts';
import { conv2d } from '../../../core/ops/conv2d.ts';
import { tokenLogProbability } from '../../../core/ops/log-probability.ts';
import { rmsNorm } from '../../../core/ops/rms-norm.ts';
import { randomWords } from '../../../core/testing.ts';
import type { Case, Unit } from '../measure.ts';
import { caseOf, randomTensor, recordOp, type RecordedOp } from './bench-device.ts';

/** 32 sequences of 64 tokens. */
const tokens = 2048;
const length = 64;
const hidden = 128;

export async function operationCases(device: Device): Promise<Case[]> {
  const workspace = new Workspace(device);
  return [
    ...(await attentionCases(workspace)),
    ...(await normCases(workspace)),
    ...(await lossCases(workspace)),
    ...(await convolutionCases(workspace)),
    ...(await pointwiseCases(workspace)),
  ];
}

/** Work of the pairs a causal row really sees: two products of the head's width forward, five backward. */
async function attentionCases(workspace: Workspace): Promise<Case[]> {
  const { device } = workspace;
  const heads = 4;
  const [q, k, v] = ['q', 'k', 'v'].map((name, index) => randomTensor(device, name, [tokens, hidden], index + 1));
  if (q === undefined || k === undefined || v === undefined)
    throw new RangeError('unreachable: three tensors were made');
  const starts = Uint32Array.from({ length: tokens }, (_, row) => row - (row % length));
  const segments = {
    segmentStart: device.tensor('segment start', [tokens], 'u32', starts),
    segmentEnd: device.tensor(
      'segment end',
      [tokens],
      'u32',
      starts.map((start) => start + length),
    ),
  };
  const recorded = recordOp(workspace, [q, k, v], (tape) =>
    attention(tape, q, k, v, segments, { heads, keyValueHeads: heads, headDimension: hidden / heads, causal: true }),
  );
  const pairs = (tokens * (length + 1)) / 2;
  return bothWays(
    workspace,
    'attention',
    `${tokens} rows of ${length}, ${heads} x ${hidden / heads}`,
    recorded,
    'GFLOP',
    (4 * hidden * pairs) / 1e9,
    (10 * hidden * pairs) / 1e9,
  );
}

async function normCases(workspace: Workspace): Promise<Case[]> {
  const x = randomTensor(workspace.device, 'x', [tokens, hidden], 1);
  const weight = randomTensor(workspace.device, 'gain', [hidden], 2);
  const recorded = recordOp(workspace, [x, weight], (tape) => rmsNorm(tape, x, weight, 1e-6));
  const bytes = tokens * hidden * 4;
  // Forward reads x and writes; backward reads x and the gradient and writes one.
  return bothWays(
    workspace,
    'norm',
    `rmsNorm ${tokens} x ${hidden}`,
    recorded,
    'GB',
    (2 * bytes) / 1e9,
    (3 * bytes) / 1e9,
  );
}

/** Forward and backward in one: reads the logits twice and writes their gradient. */
async function lossCases(workspace: Workspace): Promise<Case[]> {
  const { device } = workspace;
  const cases: Case[] = [];
  for (const [kind, rows, vocabulary] of [
    ['image', 1152, 256],
    ['text', 640, 417],
  ] as const) {
    const logits = randomTensor(device, 'logits', [rows, vocabulary], 1);
    const targets = device.tensor('targets', [rows], 'u32', randomWords(rows, 2, vocabulary));
    const { forward, backward } = recordOp(workspace, [logits], (tape) =>
      tokenLogProbability(tape, logits, targets, { temperature: 1 }),
    );
    const amount = (3 * rows * vocabulary * 4) / 1e9;
    cases.push(
      await caseOf(
        workspace,
        { group: 'loss', name: `logProbability ${kind} ${rows} x ${vocabulary}, both ways`, amount, unit: 'GB' },
        [...forward, ...backward],
      ),
    );
  }
  return cases;
}

/** Three layers of the nano codec for a batch of 32 pictures. */
async function convolutionCases(workspace: Workspace): Promise<Case[]> {
  const { device } = workspace;
  const cases: Case[] = [];
  for (const [side, channels] of [
    [24, 16],
    [12, 32],
    [6, 64],
  ] as const) {
    const x = randomTensor(device, 'x', [32, side, side, channels], 1);
    const weight = randomTensor(device, 'filter', [channels, 3, 3, channels], 2);
    const bias = randomTensor(device, 'bias', [channels], 3);
    const recorded = recordOp(workspace, [x, weight, bias], (tape) => conv2d(tape, x, weight, bias));
    const operations = (2 * 32 * side * side * 9 * channels * channels) / 1e9;
    cases.push(
      ...(await bothWays(
        workspace,
        'conv',
        `3x3 ${channels} channels 32 x ${side} x ${side}`,
        recorded,
        'GFLOP',
        operations,
        2 * operations,
      )),
    );
  }
  return cases;
}

/** Within the caches and beyond them. */
async function pointwiseCases(workspace: Workspace): Promise<Case[]> {
  const { device } = workspace;
  const cases: Case[] = [];
  for (const mebibytes of [1, 16]) {
    const count = mebibytes * 2 ** 18;
    const [a, b, sum] = ['a', 'b', 'sum'].map((name, index) => randomTensor(device, name, [count], index));
    if (a === undefined || b === undefined || sum === undefined)
      throw new RangeError('unreachable: three tensors were made');
    const add: Launch = {
      kernel: 'pointwise/add',
      bindings: { a, b, sum },
      params: { count },
      groups: grid(Math.ceil(count / 256)),
    };
    cases.push(
      await caseOf(
        workspace,
        { group: 'pointwise', name: `add ${mebibytes} MiB`, amount: (3 * count * 4) / 1e9, unit: 'GB' },
        [add],
      ),
      await caseOf(
        workspace,
        { group: 'pointwise', name: `copy ${mebibytes} MiB`, amount: (2 * count * 4) / 1e9, unit: 'GB' },
        [{ copy: { from: a, to: b } }],
      ),
    );
  }
  return cases;
}

async function bothWays(
  workspace: Workspace,
  group: string,
  name: string,
  { forward, backward }: RecordedOp,
  unit: Unit,
  forwardAmount: number,
  backwardAmount: number,
): Promise<Case[]> {
  return [
    await caseOf(workspace, { group, name: `${name}, forward`, amount: forwardAmount, unit }, forward),
    await caseOf(workspace, { group, name: `${name}, backward`, amount: backwardAmount, unit }, backward),
  ];
}
