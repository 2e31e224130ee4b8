/** What a stage will do and need, found out without computing anything: its components are built on a device that only counts. */
import { dirname, resolve } from 'node:path';
import { buildComponents, withFields } from './components.ts';
import { createContainer } from './container.ts';
import type { Plan, PlanContext, Recipe } from './contracts/recipe.ts';
import type { AdapterReport } from './gpu/adapter-report.ts';
import { PlanningDevice } from './gpu/planning-device.ts';
import type { Log } from './log.ts';
import { misfit, type PlannedChange, type Room } from './plan.ts';
import type { LoadedPreset, Stage } from './preset/load.ts';

/** The adapter a plan is for. */
export interface PlanTarget {
  readonly limits: GPUSupportedLimits;
  readonly report: AdapterReport;
}

export function planStage(loaded: LoadedPreset, stage: Stage, log: Log, target: PlanTarget = unknownAdapter()): Promise<Plan> {
  return withPlanning(loaded, stage, log, target, async (recipe, context) => recipe.plan(context));
}

/** The first change of options a recipe proposes that fits; undefined when none does. */
export async function findSmaller(loaded: LoadedPreset, stage: Stage, log: Log, target: PlanTarget, room: Room): Promise<PlannedChange | undefined> {
  for (let index = 0; ; index++) {
    const planned = await withPlanning(loaded, stage, log, target, async (recipe, context) => {
      const smaller = recipe.smaller?.[index];
      return smaller && { change: smaller.change, plan: await smaller.plan(context) };
    });
    if (planned === undefined || misfit(planned.plan, room) === undefined) return planned;
  }
}

async function withPlanning<Result>(loaded: LoadedPreset, { preset }: Stage, log: Log, { limits, report }: PlanTarget, work: (recipe: Recipe, context: PlanContext) => Promise<Result>): Promise<Result> {
  const device = new PlanningDevice(limits, report);
  const container = createContainer(loaded.catalog.plugins).openRun({
    preset,
    log,
    path: (relative) => resolve(dirname(preset.file), relative),
    openDevice: () => Promise.resolve(device),
  });
  try {
    const components = await buildComponents(container, preset);
    const recipe = await container.get('recipe');
    return await work(recipe, withFields(components, { preset, seed: preset.seed, device, log }));
  } finally {
    await container.dispose();
  }
}

/** Where no adapter is ready: a large GPU without optional features. Its limits refuse nothing that a real one might take. */
function unknownAdapter(): PlanTarget {
  const limits = { maxBufferSize: 2 ** 40, maxStorageBufferBindingSize: 2 ** 40, maxStorageBuffersPerShaderStage: 8, maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupStorageSize: 16384, maxComputeWorkgroupSizeX: 256 };
  return {
    limits: limits as unknown as GPUSupportedLimits,
    report: { vendor: '', architecture: '', device: '', description: 'unknown', isSoftware: false, subgroupMinSize: 0, subgroupMaxSize: 0, features: [] },
  };
}
