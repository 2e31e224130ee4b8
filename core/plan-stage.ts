/** What a stage will do and need, found out without computing anything: its components are built on a device that only counts. */
import { dirname, resolve } from 'node:path';
import { buildComponents, withFields } from './components.ts';
import { createContainer, type RunContainer } from './container.ts';
import type { Plan, PlanContext, Recipe, Smaller } from './contracts/recipe.ts';
import type { AdapterReport } from './gpu/adapter-report.ts';
import { PlanningDevice } from './gpu/planning-device.ts';
import type { KernelTuning } from './gpu/tuning.ts';
import type { Log } from './log.ts';
import { misfit, type PlannedChange, type Room } from './plan.ts';
import type { LoadedPreset, Stage } from './preset/load.ts';

/** The adapter a plan is for. */
export interface PlanTarget {
  readonly limits: GPUSupportedLimits;
  readonly report: AdapterReport;
  /** Which kernels are taken, where that was measured. */
  readonly tuning?: KernelTuning;
}

export function planStage(
  loaded: LoadedPreset,
  stage: Stage,
  log: Log,
  target: PlanTarget = unknownAdapter(),
): Promise<Plan> {
  return withPlanning(loaded, stage, log, target, async (recipe, context) => recipe.plan(context));
}

/** The plan, and the container whose components it was made with: a run takes them over and disposes of the rest. */
export async function planRun(
  loaded: LoadedPreset,
  stage: Stage,
  log: Log,
  target: PlanTarget,
): Promise<{ readonly plan: Plan; readonly planned: RunContainer }> {
  const planning = openPlanning(loaded, stage, log, target);
  try {
    return {
      plan: await work(planning, stage, log, async (recipe, context) => recipe.plan(context)),
      planned: planning.container,
    };
  } catch (error) {
    await planning.container.dispose();
    throw error;
  }
}

/**
 * The first change of options that fits; undefined when none does: what the recipe proposes, then an optimizer with less state, then
 * what the recipe calls drastic.
 */
export async function findSmaller(
  loaded: LoadedPreset,
  stage: Stage,
  log: Log,
  target: PlanTarget,
  room: Room,
): Promise<PlannedChange | undefined> {
  const { recipe, lighter } = await withPlanning(loaded, stage, log, target, (made, context) =>
    Promise.resolve({ recipe: made, lighter: context.has('optimizer') ? context.optimizer.lighter : undefined }),
  );
  const smaller = recipe.smaller ?? [];
  const mild = smaller.filter(({ isDrastic }) => isDrastic !== true);
  const proposals: Proposal[] = [...mild];
  if (lighter !== undefined) {
    const change = `optimizer.use: ${lighter}`;
    proposals.push({ change, lighter, plan: (context) => recipe.plan(context) });
    proposals.push(...mild.slice(-1).map((last) => ({ ...last, change: `${change} and ${last.change}`, lighter })));
  }
  proposals.push(...smaller.filter(({ isDrastic }) => isDrastic === true));
  for (const proposal of proposals) {
    const plan = await withPlanning(
      loaded,
      withOptimizer(stage, proposal.lighter),
      log,
      target,
      async (_recipe, context) => proposal.plan(context),
    );
    if (misfit(plan, room) === undefined) return { change: proposal.change, plan };
  }
  return undefined;
}

interface Proposal extends Smaller {
  /** Name of another optimizer. */
  readonly lighter?: string;
}

function withOptimizer(stage: Stage, use: string | undefined): Stage {
  if (use === undefined) return stage;
  const { components } = stage.preset;
  return {
    ...stage,
    preset: {
      ...stage.preset,
      components: { ...components, optimizer: (components['optimizer'] ?? []).map((choice) => ({ ...choice, use })) },
    },
  };
}

async function withPlanning<Result>(
  loaded: LoadedPreset,
  stage: Stage,
  log: Log,
  target: PlanTarget,
  use: (recipe: Recipe, context: PlanContext) => Promise<Result>,
): Promise<Result> {
  const planning = openPlanning(loaded, stage, log, target);
  try {
    return await work(planning, stage, log, use);
  } finally {
    await planning.container.dispose();
  }
}

interface Planning {
  readonly device: PlanningDevice;
  readonly container: RunContainer;
}

function openPlanning(
  loaded: LoadedPreset,
  { preset }: Stage,
  log: Log,
  { limits, report, tuning }: PlanTarget,
): Planning {
  const device = new PlanningDevice(limits, report);
  if (tuning !== undefined) device.tuning = tuning;
  const container = createContainer(loaded.catalog.plugins).openRun({
    preset,
    log,
    path: (relative) => resolve(dirname(preset.file), relative),
    openDevice: () => Promise.resolve(device),
  });
  return { device, container };
}

async function work<Result>(
  { device, container }: Planning,
  { preset }: Stage,
  log: Log,
  use: (recipe: Recipe, context: PlanContext) => Promise<Result>,
): Promise<Result> {
  const components = await buildComponents(container, preset);
  const recipe = await container.get('recipe');
  return use(recipe, withFields(components, { preset, seed: preset.seed, device, log }));
}

/** Where no adapter is ready: a large GPU without optional features. Its limits refuse nothing that a real one might take. */
function unknownAdapter(): PlanTarget {
  const limits = {
    maxBufferSize: 2 ** 40,
    maxStorageBufferBindingSize: 2 ** 40,
    maxStorageBuffersPerShaderStage: 8,
    maxComputeInvocationsPerWorkgroup: 256,
    maxComputeWorkgroupStorageSize: 16384,
    maxComputeWorkgroupSizeX: 256,
  };
  return {
    limits: limits as unknown as GPUSupportedLimits,
    report: {
      vendor: '',
      architecture: '',
      device: '',
      description: 'unknown',
      isSoftware: false,
      subgroupMinSize: 0,
      subgroupMaxSize: 0,
      features: [],
    },
  };
}
