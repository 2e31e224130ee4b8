/** Runs every group of a fixture. A group that the fixture lacks, or that fails, is a missed comparison, never a silent gap. */
import type { Device } from '../../core/gpu/device.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import { explainError } from '../../core/failure.ts';
import { formatError } from '../../core/errors.ts';
import { compare, type Comparison, type Group } from './comparison.ts';
import { MissingValue, loadFixture, type Fixture, type WeightForm } from './fixture.ts';
import { adaptiveEntropy } from './groups/entropy.ts';
import { generate } from './groups/generate.ts';
import { grpo } from './groups/grpo.ts';
import { sft, sftTrain } from './groups/sft.ts';
import { hiddenStates, image, text } from './groups/text.ts';
import { understand } from './groups/understand.ts';
import { vq } from './groups/vq.ts';

/** In the order of the fixture's description; all of them must be there. */
export const groups = {
  text,
  hidden_states: hiddenStates,
  image,
  generate,
  vq,
  understand,
  sft,
  sft_train: sftTrain,
  grpo,
  adaptive_entropy: adaptiveEntropy,
} as const satisfies Record<string, Group>;

export type GroupName = keyof typeof groups;
export const groupNames = Object.keys(groups) as GroupName[];

export interface GroupResult {
  readonly group: string;
  readonly rows: readonly Comparison[];
  /** Why there is nothing to compare. */
  readonly failure?: string;
}

/** One group; throws nothing. */
export function runGroup(
  device: Device,
  workspace: Workspace,
  fixture: Fixture,
  group: GroupName,
): Promise<GroupResult> {
  return resultOf(group, () => groups[group]({ device, workspace, fixture }));
}

/** What a group compares, or why it cannot. */
export async function resultOf(group: string, run: () => Promise<readonly Comparison[]>): Promise<GroupResult> {
  try {
    const rows = await run();
    return rows.length > 0 ? { group, rows } : missing(group, 'nothing was compared');
  } catch (error) {
    return missing(
      group,
      error instanceof MissingValue ? `absent: ${error.message}` : formatError(explainError(error)),
    );
  }
}

function missing(group: string, failure: string): GroupResult {
  return { group, rows: [compare(group, Number.NaN, { tolerance: 0, aim: 0 })], failure };
}

/** All groups of one folder with the weights of one file, handed on as they finish. */
export async function runFixture(
  device: Device,
  folder: string,
  form: WeightForm,
  onResult: (result: GroupResult) => void,
): Promise<void> {
  const fixture = await loadFixture(folder, form);
  const workspace = new Workspace(device);
  for (const group of groupNames) onResult(await runGroup(device, workspace, fixture, group));
  workspace.close();
}
