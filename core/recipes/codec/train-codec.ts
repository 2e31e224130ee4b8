/**
 * Trains the VQ codec: pictures through encoder, codebook and decoder, judged against themselves. The codes a language model
 * later writes are made here.
 *
 * On purpose different from the training of the published codec:
 * 1. No adversarial and no perceptual loss: flat pictures of 48 × 48 need neither. Instead pixels that differ from the background
 *    count four times, and neighboring errors should be equal (core/ops/reconstruction-loss.ts).
 * 2. All codes start over from latents once the encoder has found its range, and codes that nothing chose for a while move to the
 *    latents that are worst served: every code ends up in use.
 */
import { join } from 'node:path';
import type { Plan, PlanContext, Recipe, RunContext } from '../../contracts/recipe.ts';
import type { Dataset } from '../../contracts/dataset.ts';
import { Tape } from '../../autograd/tape.ts';
import type { Program } from '../../autograd/program.ts';
import { ReasongenError } from '../../errors.ts';
import { writeSafetensors } from '../../io/safetensors.ts';
import { packPictures } from '../../nn/pictures.ts';
import { toVqCheckpoint } from '../../nn/vq-checkpoint.ts';
import { codebookName, nanoCodec, vqCodec, type VqCodec } from '../../nn/vq-codec.ts';
import { quantizeToCodebook } from '../../ops/codebook.ts';
import { reconstructionLoss } from '../../ops/reconstruction-loss.ts';
import { defineRecipe, inputFile, z } from '../../plugin.ts';
import { sizeOf, type Tensor } from '../../tensor/tensor.ts';
import { CodeKeeper } from './codebook-restarts.ts';
import { MemoryAccount, planningRun, smallerValues } from '../../models/memory-accounting.ts';
import { requireGenerated } from '../generated.ts';
import { precisionOption } from '../../models/precision.ts';
import { lostShareOption } from '../../training/options.ts';
import { operandMetrics } from '../../training/operands.ts';
import { scheduleOptions } from '../../training/schedule.ts';
import { Training } from '../../training/training.ts';
import { rm } from '../../io/files.ts';
import { at } from '../../tensor/at.ts';

const whole = z.number().int().positive();

const options = z.strictObject({
  weights: inputFile().optional().describe('checkpoint or safetensors file to start from; fresh weights otherwise'),
  steps: whole.describe('optimizer updates'),
  batch: whole.default(32).describe('pictures per update'),
  codec: z
    .strictObject({
      imageSize: whole.default(nanoCodec.imageSize).describe('height and width of the pictures'),
      baseChannels: whole.default(nanoCodec.baseChannels).describe('channels of the finest level'),
      multipliers: z
        .array(whole)
        .default([...nanoCodec.multipliers])
        .describe('channels of each level in units of baseChannels, finest first'),
      encoderBlocks: z
        .array(z.number().int().nonnegative())
        .default([...nanoCodec.encoderBlocks])
        .describe('residual blocks of each level, finest first'),
      decoderBlocks: z
        .array(z.number().int().nonnegative())
        .default([...nanoCodec.decoderBlocks])
        .describe('residual blocks of each level, coarsest first'),
      attention: z
        .enum(['none', 'middle', 'coarsest'])
        .default(nanoCodec.attention)
        .describe('where pixels attend to each other'),
      groups: whole.default(nanoCodec.groups).describe('groups of every normalization'),
      latentChannels: whole
        .default(nanoCodec.latentChannels)
        .describe('channels between the two networks and the codes'),
      embeddingDimension: whole.default(nanoCodec.embeddingDimension).describe('length of a code vector'),
      codes: whole.default(nanoCodec.codes).describe('size of the codebook'),
    })
    .prefault({})
    .describe('sizes of the codec; the embedded one by default'),
  quantizationWeight: z
    .number()
    .positive()
    .default(1)
    .describe('weight of the codebook loss; below 1 the encoder does not commit to codes'),
  edgeWeight: z.number().nonnegative().default(0.5).describe('weight of the difference of neighboring errors'),
  emphasis: z.number().positive().default(4).describe('weight of a pixel that differs from the background'),
  background: z
    .tuple([z.number(), z.number(), z.number()])
    .default([214, 224, 234])
    .describe('RGB bytes of the background'),
  threshold: z
    .number()
    .nonnegative()
    .default(0.06)
    .describe('share of the full range by which a pixel must differ from it'),
  startCodesAt: whole.default(20).describe('step after which all codes are set to latents'),
  restartEvery: whole.default(25).describe('steps between restarts of the codes not chosen since the last one'),
  restartUntil: z.number().min(0).max(1).default(0.7).describe('share of the steps after which no code is restarted'),
  ...precisionOption,
  ...lostShareOption,
  saveEvery: whole.default(250).describe('steps between checkpoints; the last step always saves'),
  keep: whole.default(2).describe('checkpoints kept'),
  ...scheduleOptions,
  schedule: scheduleOptions.schedule.default('cosine'),
  warmup: scheduleOptions.warmup.default(50),
  constantShare: scheduleOptions.constantShare.default(0.5),
});

export type TrainCodecOptions = z.output<typeof options>;

export const trainCodec = defineRecipe({
  name: 'train-codec',
  summary: 'train the VQ codec that turns pictures into codes and back',
  options,
  needs: ['dataset', 'optimizer'],
  metrics: ({ precision }) => [
    ...['loss', 'reconstruction', 'quantization', 'psnr', 'codesUsed', 'codesRestarted'],
    ...['gradientNorm', 'learningRate', 'seconds'],
    ...(precision === 'f32' ? [] : operandMetrics('training')),
  ],
  create: (choice): Recipe => ({
    plan: (context) => planTrainCodec(context, choice),
    smaller: smallerValues(choice.batch).map((batch) => ({
      change: `recipe.batch: ${batch}`,
      plan: (context) => planTrainCodec(context, { ...choice, batch }),
    })),
    run: (context) => runTrainCodec(context, choice),
  }),
});

async function planTrainCodec(context: PlanContext, choice: TrainCodecOptions): Promise<Plan> {
  const codec = vqCodec(choice.codec);
  refuseOtherSize(context.dataset, codec);
  const account = new MemoryAccount(context);
  const training = await Training.build(planningRun(context), codec.parameters, choice);
  account.note('weights, gradients, optimizer');
  await recordPass(training, codec, choice);
  account.note('forward and backward');
  const parameters = codec.parameters.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  return account.plan([
    `codec: ${(parameters / 1e6).toFixed(2)} M parameters, ${(codec.operations / 1e6).toFixed(0)} MFLOP a picture, ${codec.gridSize} x ${codec.gridSize} codes of ${codec.config.codes}`,
    `${choice.steps} steps x ${choice.batch} pictures = ${choice.steps * choice.batch} pictures, none seen twice`,
  ]);
}

async function runTrainCodec(context: RunContext, choice: TrainCodecOptions): Promise<void> {
  const { dataset, device, directory, hooks, log, seed, stop } = context;
  const codec = vqCodec(choice.codec);
  refuseOtherSize(dataset, codec);
  const { training, state } = await Training.open(context, codec.parameters, choice);
  const pass = await recordPass(training, codec, choice);
  const { steps, startCodesAt, restartEvery, restartUntil } = choice;
  const restarts = { seed, steps, startCodesAt, restartEvery, restartUntil };
  const keeper = new CodeKeeper(device, training.parameters.get(codebookName), restarts, state?.['unused']);
  const picturesOf = (step: number): Float32Array => {
    const images = Array.from({ length: choice.batch }, (_, index) =>
      requireGenerated(dataset, 'train-codec').codecImage((step - 1) * choice.batch + index, seed),
    );
    return packPictures(images, codec.config.imageSize);
  };
  const first = (state?.step ?? 0) + 1;
  const progress = log.progress('codec', choice.steps, { done: first - 1 });
  let pictures = picturesOf(first);
  for (let step = first; step <= choice.steps; step++) {
    if (stop.requested) {
      // Before the first step there is nothing to save: the run starts over.
      if (step > 1) await training.save({ step: step - 1, unused: keeper.state });
      break;
    }
    const started = performance.now();
    device.write(pass.pictures, pictures);
    await training.completeGradients(pass.program);
    await training.applyUpdate(step);
    // The next pictures are drawn while the device works.
    pictures = picturesOf(step + 1);
    const result = await readPass(context, training, pass);
    await training.checkUpdate(step, result.norm, result.wasApplied);
    const restarted = keeper.after(step, result.codes, result.latent, result.quantization);
    const metrics = {
      ...summarize(result, choice, codec),
      codesUsed: new Set(result.codes).size,
      codesRestarted: restarted,
      gradientNorm: result.norm,
      learningRate: training.learningRate(step),
      seconds: (performance.now() - started) / 1000,
      ...training.operands.take(step),
    };
    directory.writeStep(step, metrics);
    await hooks.step({ step, metrics });
    progress.advance(1, `loss ${metrics.loss.toFixed(3)}, ${metrics.psnr.toFixed(1)} dB`);
    const asked = await context.asked();
    if (step % choice.saveEvery === 0 || step === choice.steps || stop.requested || asked.save)
      await training.save({ step, unused: keeper.state });
    if (stop.requested) break;
  }
  progress.end();
  await exportCodec(context, training, codec);
  pass.program.dispose();
  await training.close();
}

interface Pass {
  readonly program: Program;
  /** f32 [batch, size, size, 4] */
  readonly pictures: Tensor;
  /** f32 [batch · size, 2] */
  readonly losses: Tensor;
  /** f32 [batch · grid²] */
  readonly quantization: Tensor;
  /** u32 [batch · grid²] */
  readonly codes: Tensor;
  /** f32 [batch · grid², dimension], normalized */
  readonly latent: Tensor;
}

/** Forward and backward of a batch, recorded once. */
async function recordPass(training: Training, codec: VqCodec, choice: TrainCodecOptions): Promise<Pass> {
  const { parameters, workspace } = training;
  const { device } = workspace;
  const { imageSize } = codec.config;
  const pictures = device.tensor('pictures', [choice.batch, imageSize, imageSize, 4]);
  const segments = codec.segments(device, choice.batch);
  const tape = new Tape(workspace);
  parameters.watch(tape);
  const encoded = codec.encode(tape, parameters, pictures, segments);
  const quantized = quantizeToCodebook(tape, encoded, parameters.get(codebookName), {
    weight: choice.quantizationWeight,
  });
  const decoded = codec.decode(tape, parameters, quantized.out, segments);
  const [red, green, blue] = choice.background;
  const losses = reconstructionLoss(tape, decoded, pictures, {
    edge: choice.edgeWeight,
    emphasis: choice.emphasis,
    // Bytes and shares of the range, in the units of pictures: -1 … 1.
    threshold: 2 * choice.threshold,
    background: [red / 127.5 - 1, green / 127.5 - 1, blue / 127.5 - 1],
  });
  tape.backward();
  const outputs = {
    losses: tape.output(losses),
    quantization: tape.output(quantized.losses),
    codes: tape.output(quantized.codes),
    latent: tape.output(quantized.latent),
  };
  return { pictures, ...outputs, program: await tape.finish('codec') };
}

interface PassResult {
  readonly losses: Float32Array;
  readonly quantization: Float32Array;
  readonly codes: Uint32Array;
  readonly latent: Float32Array;
  readonly norm: number;
  readonly wasApplied: number;
}

async function readPass({ device }: RunContext, training: Training, pass: Pass): Promise<PassResult> {
  const [losses, quantization, codes, latent, report] = await device.read([
    pass.losses,
    pass.quantization,
    pass.codes,
    pass.latent,
    training.report,
  ]);
  if (
    !(losses instanceof Float32Array) ||
    !(quantization instanceof Float32Array) ||
    !(codes instanceof Uint32Array) ||
    !(latent instanceof Float32Array)
  ) {
    throw new RangeError('unreachable: the types of the pass are fixed');
  }
  return { losses, quantization, codes, latent, norm: at(report ?? [], 0), wasApplied: at(report ?? [], 1) };
}

function summarize(
  result: PassResult,
  choice: TrainCodecOptions,
  codec: VqCodec,
): Readonly<Record<'loss' | 'reconstruction' | 'quantization' | 'psnr', number>> {
  let reconstruction = 0;
  let square = 0;
  for (let i = 0; i < result.losses.length; i += 2) {
    reconstruction += at(result.losses, i);
    square += at(result.losses, i + 1);
  }
  const quantization = result.quantization.reduce((sum, value) => sum + value, 0) / result.quantization.length;
  // Pictures span two units, so that the peak is 2.
  const meanSquare = square / (choice.batch * codec.config.imageSize ** 2 * 3);
  return {
    loss: reconstruction + choice.quantizationWeight * quantization,
    reconstruction,
    quantization,
    psnr: 10 * Math.log10(4 / meanSquare),
  };
}

/** Writes the finished codec in the layout and under the names of published ones, for the `vq` image tokenizer. */
async function exportCodec(context: RunContext, training: Training, codec: VqCodec): Promise<void> {
  const path = join(context.directory.path, 'codec.safetensors');
  await rm(path, { force: true });
  await writeSafetensors(path, toVqCheckpoint(await training.parameters.read()), {
    codec: JSON.stringify(codec.config),
  });
  context.log.info(`the codec is in ${path}`);
}

function refuseOtherSize(dataset: Dataset, codec: VqCodec): void {
  const { width, height } = dataset.imageSize;
  const { imageSize } = codec.config;
  if (width === imageSize && height === imageSize) return;
  throw new ReasongenError({
    code: 'PICTURE_SIZE',
    message: `the dataset draws ${width} x ${height} pixels; recipe.codec.imageSize is ${imageSize}`,
    hint: `set recipe.codec.imageSize to ${height}`,
    exitCode: 2,
  });
}
