/** The supervised step: loss, the gradient of every weight, and ten steps of AdamW. */
import { Tape } from '../../../core/autograd/tape.ts';
import type { Optimizer } from '../../../core/contracts/optimizer.ts';
import type { Scope } from '../../../core/contracts/slots.ts';
import type { ParameterSet } from '../../../core/weights/parameters.ts';
import { at } from '../../../core/testing.ts';
import optimizers from '../../../plugins/optimizers/index.ts';
import { apart, bounds, compare, ratio, type Bench, type Comparison } from '../comparison.ts';
import { MissingValue } from '../fixture.ts';
import { rowsOf, score, sequencesOf } from '../tokens.ts';

export async function sft(bench: Bench): Promise<Comparison[]> {
  const { fixture, device } = bench;
  const golden = fixture.golden.sft;
  if (golden === undefined) throw new MissingValue('golden.json has no sft');
  const weights = await fixture.weights(device, true);
  const tape = new Tape(bench.workspace);
  weights.watch(tape);
  const loss = recordLoss(bench, tape, weights, golden.weights);
  const program = await tape.finish('sft');
  program.run();
  const rows = [
    ratio('sft.loss', await loss(), golden.loss, bounds.loss),
    ...(await compareGradients(bench, weights, 'sft.grad.')),
  ];
  program.dispose();
  weights.close();
  return rows;
}

/** Every gradient of the fixture, and that nothing else has one. */
export async function compareGradients(
  { fixture }: Bench,
  weights: ParameterSet,
  prefix: string,
): Promise<Comparison[]> {
  const gradients = await weights.read('gradients');
  const keys = fixture.keys(prefix);
  const listed = new Set(keys.map((key) => key.slice(prefix.length)));
  if (keys.length === 0) throw new MissingValue(`golden.safetensors has no ${prefix}…`);
  const unlisted = [...gradients].filter(
    ([name, { data }]) => !listed.has(name) && data.some((value) => value !== 0),
  ).length;
  return [
    ...keys.map((key) =>
      apart(key, gradients.get(key.slice(prefix.length))?.data ?? [], fixture.floats(key), bounds.gradient),
    ),
    compare(`${prefix}* (not listed, yet not zero)`, unlisted, bounds.exact),
  ];
}

export async function sftTrain(bench: Bench): Promise<Comparison[]> {
  const { fixture, device } = bench;
  const { sft: step, sft_train: golden } = fixture.golden;
  if (step === undefined || golden === undefined) throw new MissingValue('golden.json has no sft_train');
  const { losses, grad_norms: norms, optimizer: settings } = golden;
  const component = optimizers.provides.find(({ name }) => name === 'adamw');
  const options = {
    learningRate: settings.lr,
    betas: settings.betas,
    epsilon: settings.eps,
    weightDecay: settings.weight_decay,
    maxNorm: settings.grad_clip,
  };
  const adamw = (await component?.create(component.options.parse(options), {} as Scope)) as Optimizer;
  const weights = await fixture.weights(device, true);
  const tape = new Tape(bench.workspace);
  weights.watch(tape);
  const loss = recordLoss(bench, tape, weights, step.weights);
  const opened = adamw.open(weights);
  opened.record(tape);
  const program = await tape.finish('sft step');
  const rows: Comparison[] = [];
  for (let number = 1; number <= losses.length; number++) {
    opened.prepare(number, settings.lr);
    program.run();
    rows.push(ratio(`sft_train.losses.${number}`, await loss(), at(losses, number - 1), bounds.loss));
    const report = await device.readFloats(opened.report);
    rows.push(ratio(`sft_train.grad_norms.${number}`, at(report, 0), at(norms, number - 1), bounds.norm));
  }
  const final = await weights.read();
  const prefix = 'sft_train.final.';
  if (fixture.keys(prefix).length === 0) throw new MissingValue(`golden.safetensors has no ${prefix}…`);
  for (const key of fixture.keys(prefix))
    rows.push(apart(key, final.get(key.slice(prefix.length))?.data ?? [], fixture.floats(key), bounds.trained));
  program.dispose();
  weights.close();
  return rows;
}

/** Records loss and backward of the fixture's batch; the function it returns reads the loss of the last run. */
function recordLoss(
  bench: Bench,
  tape: Tape,
  weights: ParameterSet,
  share: { readonly text: number; readonly image: number; readonly image_start: number },
): () => Promise<number> {
  const { fixture, device } = bench;
  const sequences = sequencesOf(fixture, 'sft');
  const isTarget = rowsOf(fixture, 'sft.is_target');
  const count = isTarget.flat().reduce((sum, flag) => sum + flag, 0);
  const parts = score(
    bench,
    tape,
    weights,
    sequences.map(({ tokens }) => tokens),
  ).map(({ kind, values, entries }) => {
    const slopes = entries.map(({ sequence, index, token }) => {
      if (at(isTarget[sequence] ?? [], at(sequences[sequence]?.columns ?? [], index)) === 0) return 0;
      return (
        -(kind === 'image' ? share.image : token.id === fixture.special.boi ? share.image_start : share.text) / count
      );
    });
    tape.seed(
      values,
      device.tensor('d loss', [entries.length, 2], 'f32', Float32Array.from(slopes.flatMap((slope) => [slope, 0]))),
    );
    return { slopes, kept: tape.output(values) };
  });
  tape.backward();
  return async () => {
    const values = await device.read(parts.map(({ kept }) => kept));
    return parts.reduce(
      (sum, { slopes }, part) =>
        sum + slopes.reduce((inner, slope, entry) => inner + slope * at(values[part] ?? [], entry * 2), 0),
      0,
    );
  };
}
