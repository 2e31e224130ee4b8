/** A live page changes nothing of its run: tokens, numbers, weights and pictures are the same to the bit with a page open and without. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkpointDivergence, noted, trajectoryDivergence } from '../support/divergence.ts';
import { metricsOf, Workplace } from '../support/runs.ts';
import { openReader, startProgram } from './started.ts';

const place = new Workplace();

test('tokens, numbers, weights and pictures are the same to the bit with a page open and without', async () => {
  // A step takes longer than the page's server waits between two looks, however fast the machine is.
  const preset = place.preset(
    'watched',
    `optimizer: { use: adamw, learningRate: 2e-3 }
rewards: [{ use: is-color, delay: 600 }]
recipe: { use: grpo, steps: 12, prompts: 4, groupSize: 4, rationaleTokens: 6, saveEvery: 4, samplesEvery: 1, evaluations: 8, evaluateEvery: 4 }
`,
  );
  const [alone, watched] = [place.free('alone'), place.free('watched')];
  expect(await startProgram(['run', preset, '--run-dir', alone]).ended).toMatchObject({ code: 0 });
  const program = startProgram(['run', preset, '--run-dir', watched, '--watch', '--port', '0']);
  const [, port] = await program.said(/page: http:\/\/localhost:(\d+)\//);
  const reader = openReader(Number(port));
  expect(await program.ended).toMatchObject({ code: 0 });
  await reader.close();
  // It was there, and looked.
  expect(reader.steps).toBeGreaterThan(3);
  expect(reader.pictures).toBeGreaterThan(16);
  expect(noted('watched', trajectoryDivergence(metricsOf(alone), metricsOf(watched)))).toBeUndefined();
  const newest = (directory: string): string => join(directory, 'checkpoints', 'step-000012');
  expect(noted('watched', await checkpointDivergence(newest(alone), newest(watched)))).toBeUndefined();
  for (const folder of ['samples', 'evaluations']) {
    const files = filesOf(join(alone, folder));
    expect(files.length).toBeGreaterThan(3);
    expect(filesOf(join(watched, folder))).toEqual(files);
  }
});

/** Names and contents; of drawings the codes and rationales, and the pictures themselves. */
function filesOf(folder: string): (readonly [string, string])[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted()
    .map((path) => [path.slice(folder.length), readFileSync(path).toString('base64')]);
}
