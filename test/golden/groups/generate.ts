/** Greedy decoding with guidance 5 through the sampler, and the pixels of what it draws. */
import { createSampler } from '../../../core/nn/sampler.ts';
import { bounds, compare, farthest, type Bench, type Comparison } from '../comparison.ts';
import { rowsOf } from '../tokens.ts';
import { unconditional } from './text.ts';
import { decodePixels } from './vq.ts';

export async function generate(bench: Bench): Promise<Comparison[]> {
  const { fixture, device, workspace } = bench;
  const { boi, pad, eos } = fixture.special;
  const prompts = rowsOf(fixture, 'generate.prompt_ids');
  const expected = rowsOf(fixture, 'generate.codes_greedy_w5');
  const weights = await fixture.weights(device, false);
  const sampler = await createSampler({
    device,
    workspace,
    backbone: fixture.backbone,
    weights,
    rows: 2 * prompts.length,
    promptBudget: Math.max(...prompts.map((ids) => ids.length)),
    textBudget: 0,
    imageCount: fixture.codec.gridSize ** 2,
    guidance: true,
    special: { imageStart: boi, eos },
  });
  const rule = { temperature: 0, topK: 0, topP: 1, guidance: 5 };
  const samples = await sampler.sample({
    prompts,
    samplesPerPrompt: 2,
    unconditional: (sequence) => unconditional(sequence, pad),
    seed: 0,
    text: rule,
    image: rule,
    rationale: 'skip',
  });
  sampler.close();
  weights.close();
  const wrong = samples.reduce(
    (sum, { codes }, index) =>
      sum + codes.filter((code, place) => code !== expected[Math.floor(index / 2)]?.[place]).length,
    0,
  );
  const short = samples.filter(({ codes }, index) => codes.length !== expected[Math.floor(index / 2)]?.length).length;
  const pixels = await decodePixels(bench, expected.flat());
  return [
    compare(`generate.codes_greedy_w5 (wrong of ${expected.flat().length * 2})`, wrong + short, bounds.exact),
    farthest('generate.pixels_nchw', pixels, fixture.floats('generate.pixels_nchw'), bounds.pixels),
  ];
}
