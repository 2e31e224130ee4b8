/** A published model trained further: SFT and GRPO begin with the weights of its folder, under either naming, and keep its vocabulary. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { encodePng } from '../../../core/io/image.ts';
import { readSafetensors } from '../../support/safetensors.ts';
import { randomWords } from '../../../core/testing.ts';
import { janusFolder } from '../../support/janus-folder.ts';
import { publishedPreset } from '../../support/published-runs.ts';
import { curve, Workplace } from '../../support/runs.ts';

const place = new Workplace();

describe('a published model', () => {
  const sft = (folder: string): string =>
    `optimizer: { use: adamw, learningRate: 2e-3 }\nrecipe: { use: sft, weights: ${folder}, steps: 12, batch: 8, examples: 8 }`;

  test('learns from its own weights on, alike under both namings, and its run draws', async () => {
    const runs = [];
    for (const original of [false, true]) {
      const folder = janusFolder(place.path(`model-${original}`), 'tiny-a', original);
      runs.push(await place.run(publishedPreset(place, `sft-${original}`, folder, sft(folder))));
    }
    const [port, other] = runs.map(({ directory }) => curve(directory, 'loss'));
    expect(port).toHaveLength(12);
    expect(other).toEqual(port);
    expect(port?.at(-1)).toBeLessThan(0.8 * (port?.[0] ?? 0));
    // The vision tower and the codec are not part of what is trained.
    const directory = runs[0]?.directory ?? '';
    const stored = await readSafetensors(join(directory, 'checkpoints/step-000012/weights.safetensors'));
    expect([...stored.keys()].filter((name) => /vision_model|vqmodel/.test(name))).toEqual([]);
    expect(stored.get('lm_head.weight')?.shape).toEqual([128, 32]);
    const image = place.write(
      'photo.png',
      await encodePng({ width: 9, height: 7, data: Uint8Array.from(randomWords(189, 1, 256)) }),
    );
    const asked = await place.command(
      'ask',
      '--preset',
      directory,
      '--image',
      image,
      'What?',
      '--out',
      place.free('asked'),
      '--set',
      'recipe.answerTokens=4',
    );
    expect({ code: asked.code, errors: asked.code === 0 ? '' : asked.errors }).toEqual({ code: 0, errors: '' });
    const drawn = await place.command(
      'generate',
      '--preset',
      directory,
      '--prompt',
      'a red picture',
      '--out',
      place.free('drawn'),
      '--set',
      'recipe.rationaleTokens=8',
    );
    expect({ code: drawn.code, errors: drawn.code === 0 ? '' : drawn.errors }).toEqual({ code: 0, errors: '' });
  });

  test('goes on with GRPO', async () => {
    const folder = janusFolder(place.path('grpo'), 'tiny-b');
    const { code, directory } = await place.run(
      publishedPreset(
        place,
        'grpo',
        folder,
        `rewards: [is-color]\noptimizer: { use: adamw, learningRate: 1e-3 }\nrecipe: { use: grpo, weights: ${folder}, steps: 2, prompts: 2, groupSize: 4, rationaleTokens: 8, promptTokens: 64, evaluations: 0 }`,
      ),
    );
    expect(code).toBe(0);
    // Sampler and scorer describe one distribution.
    const differences = curve(directory, 'ratioDifference');
    expect(differences).toHaveLength(2);
    expect(Math.max(...differences)).toBeLessThan(1e-5);
  });
});
