/** Greedy decoding with guidance through the sampler, with the unconditional layout of Janus, against PyTorch. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/program.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import { createSampler } from '../../core/nn/sampler.ts';
import { fixtureFolders, fixtureWeights, loadFixture } from './support.ts';

let device: Device;
let workspace: Workspace;
beforeAll(async () => {
  device = await openDevice();
  workspace = new Workspace(device);
});
afterAll(() => device.close());

test.each(fixtureFolders())('$name: codes of greedy decoding with guidance 5', async ({ folder }) => {
  const fixture = await loadFixture(folder);
  const { bos, boi, pad, eos } = fixture.special;
  const weights = fixtureWeights(device, fixture, false);
  const prompt = fixture.words('generate.prompt_ids');
  const expected = fixture.words('generate.codes_greedy_w5');
  const sampler = await createSampler({
    device,
    workspace,
    backbone: fixture.backbone,
    weights,
    rows: 2,
    promptBudget: prompt.length,
    textBudget: 0,
    imageCount: expected.length,
    guidance: true,
    special: { imageStart: boi, eos },
  });
  const rule = { temperature: 0, topK: 0, topP: 1, guidance: 5 };
  const samples = await sampler.sample({
    prompts: [prompt],
    samplesPerPrompt: 2,
    unconditional: (sequence) => sequence.map((id) => (id === bos || id === boi ? id : pad)),
    seed: 0,
    text: rule,
    image: rule,
    rationale: 'skip',
  });
  expect(samples.map(({ codes }) => codes)).toEqual([expected, expected]);
  sampler.close();
  weights.close();
});
