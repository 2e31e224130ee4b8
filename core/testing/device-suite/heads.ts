/** From hidden states to tokens: log-probabilities, the fused head, sampling. */
import { Tape } from '../../autograd/tape.ts';
import { Workspace } from '../../autograd/workspace.ts';
import type { Device } from '../../gpu/device.ts';
import { languageHead } from '../../ops/language-head.ts';
import { tokenLogProbability } from '../../ops/log-probability.ts';
import { createSamplingSettings, sample } from '../../ops/sample.ts';
import { randomFloats } from '../arrays.ts';
import { checkOp, type OpErrors } from '../check-op.ts';
import { productOf, scored } from '../oracles.ts';
import { type DeviceCase, floats, randomIds } from './cases.ts';

export const headCases: readonly DeviceCase[] = [
  {
    op: 'log-probability',
    form: '31 x 417, temperature .7',
    run: (device) =>
      checkOp({
        device,
        inputs: { logits: floats([31, 417], 1, 4), targets: randomIds(31, 2, 417) },
        op: (tape, { logits, targets }) => tokenLogProbability(tape, logits, targets, { temperature: 0.7 }),
        oracle: ({ logits, targets }) => scored(logits, 417, targets, 0.7),
        valueTolerance: 3e-6,
      }),
  },
  {
    op: 'fused language head',
    form: '19 x 500, width 24, chunks of 128',
    run: (device) =>
      checkOp({
        device,
        inputs: {
          hidden: floats([19, 24], 1),
          weight: floats([500, 24], 2),
          bias: floats([500], 3),
          ids: randomIds(19, 4, 500),
        },
        op: (tape, { hidden, weight, bias, ids }) =>
          languageHead(tape, hidden, weight, bias, ids, { temperature: 1, chunk: 128 }),
        oracle: ({ hidden, weight, bias, ids }) => scored(productOf(hidden, weight, 24, bias), 500, ids, 1),
        valueTolerance: 3e-6,
      }),
  },
  { op: 'sampling', form: 'the likeliest of 1000, ties apart', run: greedySampling },
];

/** Greedy tokens are the largest logits; nothing random is in them. */
async function greedySampling(device: Device): Promise<OpErrors> {
  const [rows, vocabulary] = [9, 1000];
  const values = randomFloats(rows * vocabulary, 3, 5);
  const workspace = new Workspace(device);
  const tape = new Tape(workspace);
  const whole = (name: string, shape: readonly number[], data?: Uint32Array): ReturnType<Device['tensor']> =>
    device.tensor(name, shape, 'u32', data);
  const state = {
    cacheRows: whole(
      'cache rows',
      [rows],
      Uint32Array.from({ length: rows }, (_, row) => row),
    ),
    rows: whole('rows', [rows, 4]),
    trace: whole('trace', [rows, 4, 4]),
    current: whole('current', [rows]),
    positions: whole('positions', [rows]),
  };
  const settings = createSamplingSettings(device, 'settings');
  settings.set(1, { temperature: 0, topK: 0, topP: 1 });
  const logits = device.tensor('logits', [rows, vocabulary], 'f32', values);
  sample(tape, logits, state, settings, { phase: 'image', guided: false, imageStart: 0 });
  const program = await tape.finish('sampling');
  program.run();
  const [tokens] = await device.read([state.current]);
  program.dispose();
  workspace.close();
  for (const tensor of [...Object.values(state), settings.tensor, logits]) device.destroyTensor(tensor);
  for (let row = 0; row < rows; row++) {
    const part = values.subarray(row * vocabulary, (row + 1) * vocabulary);
    const expected = part.indexOf(Math.max(...part));
    if (tokens?.[row] !== expected)
      throw new Error(`row ${row} drew ${String(tokens?.[row])}, its largest logit is ${expected}`);
  }
  return { value: 0, gradient: 0 };
}
