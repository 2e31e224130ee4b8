/** Every group of a Qwen fixture; nothing is passed over. */
import type { Device } from '../../../core/gpu/device.ts';
import { Workspace } from '../../../core/autograd/workspace.ts';
import type { Comparison } from '../comparison.ts';
import { resultOf, type GroupResult } from '../harness.ts';
import { loadQwenFixture, type QwenFixture } from './fixture.ts';
import { answers, generate, one, positions, preprocess, questions, text, tower, two } from './groups.ts';

export interface QwenBench {
  readonly device: Device;
  readonly workspace: Workspace;
  readonly fixture: QwenFixture;
}

export const qwenGroups = {
  preprocess,
  positions,
  vision: tower,
  text,
  one,
  two,
  generate,
  answers,
  questions,
} as const satisfies Record<string, (bench: QwenBench) => Promise<Comparison[]>>;

export type QwenGroup = keyof typeof qwenGroups;
export const qwenGroupNames = Object.keys(qwenGroups) as QwenGroup[];

export async function runQwenFixture(
  device: Device,
  folder: string,
  onResult: (result: GroupResult) => void,
): Promise<void> {
  const bench = { device, workspace: new Workspace(device), fixture: await loadQwenFixture(folder) };
  for (const group of qwenGroupNames) onResult(await resultOf(group, () => qwenGroups[group](bench)));
  bench.workspace.close();
}
