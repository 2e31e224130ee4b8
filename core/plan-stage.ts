/** What a stage will do and need, found out without computing anything: its components plan on a device that only counts. */
import { buildComponents, withFields } from './components.ts';
import { createContainer, type RunContainer } from './container.ts';
import type { Optimizer } from './contracts/optimizer.ts';
import type { ComponentChoice } from './contracts/preset.ts';
import type { Component } from './contracts/slots.ts';
import type { Plan, PlanContext, Recipe, Smaller } from './contracts/recipe.ts';
import { type AdapterReport, unknownDescription } from './gpu/adapter-report.ts';
import type { Kernel } from './gpu/kernel.ts';
import { PlanningDevice } from './gpu/planning-device.ts';
import type { KernelTuning } from './gpu/tuning.ts';
import { type Log, silentLog } from './log.ts';
import { misfit, totalBytes, type PlannedChange, type Room } from './plan.ts';
import type { LoadedPreset, Stage } from './preset/load.ts';
import { onOneLine } from './preset/show.ts';
import { z } from './preset/zod.ts';
import { refuseRanks } from './ranks/refused.ts';
import { single } from './ranks/single.ts';

/** The adapter a plan is for, and what it is one of. */
export interface PlanTarget {
  readonly limits: GPUSupportedLimits;
  readonly report: AdapterReport;
  /** Which kernels are taken, where that was measured. */
  readonly tuning?: KernelTuning;
  /** How many ranks share the work: the plan is that of one of them, which has the largest share. */
  readonly ranks?: number;
}

export function planStage(
  loaded: LoadedPreset,
  stage: Stage,
  log: Log,
  target: PlanTarget = unknownAdapter(),
): Promise<Plan> {
  return withPlanner(loaded, stage, log, target, (planner) => planner.plan());
}

/** With components that are made for the plan alone. */
export async function withPlanner<Result>(
  loaded: LoadedPreset,
  stage: Stage,
  log: Log,
  target: PlanTarget | undefined,
  work: (planner: StagePlanner) => Promise<Result>,
): Promise<Result> {
  const container = openContainer(loaded, stage, log);
  try {
    return await work(new StagePlanner({ container, loaded, stage, log, target: target ?? unknownAdapter() }));
  } finally {
    await container.dispose();
  }
}

interface PlannerParts {
  readonly container: RunContainer;
  readonly loaded: LoadedPreset;
  readonly stage: Stage;
  readonly log: Log;
  readonly target: PlanTarget;
  /** Whether the run goes on from a checkpoint of its own. */
  readonly resume?: boolean;
}

/** Plans with the components of a container, those that a run will work with: they are made once. */
export class StagePlanner {
  /** What the programs of its plans are made of, by code. */
  readonly kernels = new Map<string, Kernel>();
  private readonly parts: PlannerParts;

  constructor(parts: PlannerParts) {
    this.parts = parts;
  }

  plan(): Promise<Plan> {
    return this.pretend((recipe, context) => recipe.plan(context));
  }

  /**
   * The first change of options that fits; undefined when none does: what the recipe proposes, then an optimizer with less state,
   * then another place of a judge, then what the recipe calls drastic.
   */
  async findSmaller(room: Room): Promise<PlannedChange | undefined> {
    // What a plan has to say was said with the one that does not fit.
    const quiet = new StagePlanner({ ...this.parts, log: silentLog() });
    const found = await quiet.findProposal(room);
    for (const [code, kernel] of quiet.kernels) this.kernels.set(code, kernel);
    return found;
  }

  private async findProposal(room: Room): Promise<PlannedChange | undefined> {
    const { recipe, lighter } = await this.pretend((made, context) => ({
      recipe: made,
      lighter: context.has('optimizer') ? context.optimizer.lighter : undefined,
    }));
    const all = proposals(recipe, lighter === undefined ? undefined : this.otherOptimizer(lighter));
    const planOf = (proposal: Proposal): Promise<Plan> =>
      this.withOptimizer(proposal.optimizer, (other) =>
        this.pretend((_recipe, context) =>
          proposal.plan(other === undefined ? context : withFields(context, { optimizer: other })),
        ),
      );
    const fits = async (each: readonly Proposal[]): Promise<PlannedChange | undefined> => {
      for (const proposal of each) {
        const plan = await planOf(proposal);
        if (misfit(plan, room) !== undefined) continue;
        return (await withSpareSpent(proposal, plan, room, planOf)) ?? { change: proposal.change, plan };
      }
      return undefined;
    };
    const mild = await fits(all.filter(({ isDrastic }) => isDrastic !== true));
    if (mild !== undefined) return mild;
    for (const { key, chosen, plans } of await this.places())
      for (const [place, plan] of Object.entries(plans))
        if (place !== chosen && misfit(plan, room) === undefined) return { change: `${key}.place: ${place}`, plan };
    return fits(all.filter(({ isDrastic }) => isDrastic === true));
  }

  /** Components that may be placed in several ways, and the plan of the stage with each. */
  async places(): Promise<PlacedComponent[]> {
    const { loaded, stage, log } = this.parts;
    const { components } = stage.preset;
    const found: PlacedComponent[] = [];
    for (const [slot, choices] of Object.entries(components))
      for (const [index, choice] of choices.entries()) {
        const component = loaded.catalog.plugins
          .flatMap(({ provides }) => provides)
          .find(({ slot: of, name }) => of === slot && name === choice.use);
        const hasWorkers = (components['executor'] ?? []).length > 0;
        const places = (component === undefined ? [] : placesOf(component)).filter(
          (place) => place !== 'worker' || hasWorkers || choice.options['place'] === 'worker',
        );
        if (places.length === 0) continue;
        const plans: Record<string, Plan> = {};
        for (const place of places) {
          const placed = choices.with(index, { ...choice, options: { ...choice.options, place } });
          const preset = { ...stage.preset, components: { ...components, [slot]: placed } };
          plans[place] = await withPlanner(loaded, { ...stage, preset }, log, this.parts.target, (planner) =>
            planner.plan(),
          );
        }
        found.push({ key: `${slot}s.${choice.name}`, chosen: String(choice.options['place']), plans });
      }
    return found;
  }

  /** On a new device that only counts. */
  private async pretend<Result>(
    work: (recipe: Recipe, context: PlanContext) => Result | Promise<Result>,
  ): Promise<Result> {
    const { container, stage, log, target, resume = false } = this.parts;
    const { preset } = stage;
    const device = new PlanningDevice(target.limits, target.report);
    if (target.tuning !== undefined) device.tuning = target.tuning;
    const result = await container.pretend(device, async () => {
      const components = await buildComponents(container, preset);
      const recipe = await container.get('recipe');
      const offerModel: PlanContext['offerModel'] = (model) => container.offerModel(device, model);
      const alone = withFields(components, { preset, seed: preset.seed, device, log, resume, offerModel });
      if (target.ranks === undefined) return work(recipe, alone);
      const communicator = { ...single, rank: target.ranks - 1, size: target.ranks };
      refuseRanks(recipe, preset, communicator);
      return work(recipe, withFields(alone, { communicator }));
    });
    for (const [code, kernel] of device.kernels) this.kernels.set(code, kernel);
    return result;
  }

  /** Another optimizer with the options of the one that the preset names. */
  private otherOptimizer(use: string): readonly ComponentChoice[] {
    return (this.parts.stage.preset.components['optimizer'] ?? []).map((choice) => ({ ...choice, use }));
  }

  /** Works with another optimizer than the preset names. */
  private async withOptimizer<Result>(
    optimizer: readonly ComponentChoice[] | undefined,
    work: (optimizer: Optimizer | undefined) => Promise<Result>,
  ): Promise<Result> {
    if (optimizer === undefined) return work(undefined);
    const { loaded, stage, log } = this.parts;
    const { components } = stage.preset;
    const preset = { ...stage.preset, components: { ...components, optimizer } };
    const container = openContainer(loaded, { ...stage, preset }, log);
    try {
      return await work(await container.get('optimizer'));
    } finally {
      await container.dispose();
    }
  }
}

export interface PlacedComponent {
  /** As `--set` calls it: `rewards.vlm-judge`. */
  readonly key: string;
  readonly chosen: string;
  readonly plans: Readonly<Record<string, Plan>>;
}

/** Values of an option `place`; none of components without one. A place called `worker` is the queue's, which not every preset has. */
function placesOf({ options }: Component): string[] {
  const { properties = {} } = z.toJSONSchema(options, { unrepresentable: 'any', io: 'input' });
  const place = properties['place'];
  return typeof place === 'object' && Array.isArray(place.enum) ? place.enum.map(String) : [];
}

/**
 * The proposal with the room that it leaves spent, all that is of use where there is as much; undefined where it leaves none. What is spent may take more than
 * itself, buffers being shared as they fit, so less of the room is tried until it does.
 */
async function withSpareSpent(
  proposal: Proposal,
  plan: Plan,
  { availableBytes, ...room }: Room,
  planOf: (proposal: Proposal) => Promise<Plan>,
): Promise<PlannedChange | undefined> {
  if (proposal.spend === undefined || availableBytes === undefined) return undefined;
  const spare = availableBytes - totalBytes(plan);
  for (const share of [Number.POSITIVE_INFINITY, 1, 3 / 4, 1 / 2, 1 / 4]) {
    if (spare < worthSpending || spare * share < worthSpending) return undefined;
    const spent = proposal.spend(spare * share);
    const planned = await planOf(spent);
    if (misfit(planned, { ...room, availableBytes }) === undefined) return { change: spent.change, plan: planned };
  }
  return undefined;
}

/** Bytes that are worth an option. */
const worthSpending = 2 ** 20;

interface Proposal extends Smaller {
  readonly optimizer?: readonly ComponentChoice[];
  readonly spend?: (bytes: number) => Proposal;
}

function proposals(recipe: Recipe, lighter: readonly ComponentChoice[] | undefined): Proposal[] {
  const { smaller = [] } = recipe;
  const mild = smaller.filter(({ isDrastic }) => isDrastic !== true);
  const drastic = smaller.filter(({ isDrastic }) => isDrastic === true);
  if (lighter === undefined) return [...mild, ...drastic];
  // Whole, as it is to be written: a component of another name does not keep the options of the one before.
  const change = lighter.map(({ use, options }) => `optimizer: ${onOneLine({ use, ...options })}`).join('');
  const withIt = ({ spend, ...other }: Smaller): Proposal => ({
    ...other,
    change: `${change} and ${other.change}`,
    optimizer: lighter,
    ...(spend && { spend: (bytes) => withIt(spend(bytes)) }),
  });
  const both = mild.slice(-1).map(withIt);
  return [...mild, { change, optimizer: lighter, plan: (context) => recipe.plan(context) }, ...both, ...drastic];
}

function openContainer(loaded: LoadedPreset, { preset }: Stage, log: Log): RunContainer {
  return createContainer(loaded.catalog.plugins).openRun({
    preset,
    log,
    openDevice: () => Promise.reject(new RangeError('a plan opens no device')),
  });
}

/** Where no adapter is ready: a large GPU without optional features. Its limits refuse nothing that a real one might take. */
export function unknownAdapter(): PlanTarget {
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
      description: unknownDescription,
      isSoftware: false,
      subgroupMinSize: 0,
      subgroupMaxSize: 0,
      features: [],
      matrices: [],
    },
  };
}
