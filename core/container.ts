import { dirname, join, resolve } from 'node:path';
import { Container, ContainerModule } from 'inversify';
import type { Benchmark } from './contracts/benchmark.ts';
import type { Judge } from './contracts/judge.ts';
import type { ComponentChoice, Preset } from './contracts/preset.ts';
import type { Reward } from './contracts/reward.ts';
import type { RunningModel } from './contracts/running-model.ts';
import type { Component, Plugin, Scope, Slot, Slots } from './contracts/slots.ts';
import { blamed, blamePlace } from './blame.ts';
import { exitCodes, ReasongenError } from './errors.ts';
import type { Device } from './gpu/device.ts';
import { PolicedCalls } from './judging/calls.ts';
import { refuseIncomplete } from './component-shape.ts';
import { refuseNoJudge } from './judging/capabilities.ts';
import { judgePlace, offeredJudge } from './judging/offered-judge.ts';
import { openPublished } from './published-model.ts';
import type { Log } from './log.ts';
import { answerService } from './workers/answers.ts';
import { handedOutBenchmark, handedOutJudge, handedOutReward } from './workers/handed-out.ts';
import { answererIdentity } from './workers/identity.ts';
import { AnswerChecks } from './workers/recheck.ts';
import { cacheDirectory } from './setup/cache.mjs';
import { takeTurn, unlessStray } from './waiting.ts';

/**
 * The components of all loaded plugins, and runs made from them. Dependency injection ends here: a component gets its
 * options and a `Scope`, nobody gets a container.
 */
export interface ComponentContainer {
  openRun(options: RunOptions): RunContainer;
}

export interface RunOptions {
  readonly preset: Preset;
  readonly log: Log;
  readonly openDevice: () => Promise<Device>;
  /** Resolves a path of the preset; against its file unless told. */
  readonly path?: (relative: string) => string;
  /** The components are a worker's, which answers itself. */
  readonly isWorker?: boolean;
}

/** The components of one run, each created once, on first use. */
export interface RunContainer {
  get<Name extends Slot>(slot: Name): Promise<Slots[Name]>;
  getAll<Name extends Slot>(slot: Name): Promise<readonly Slots[Name][]>;
  device(): Promise<Device>;
  /** Tells components of the model that is on a device. */
  offerModel(device: Device, model: RunningModel): void;
  /** Does the work with another device in place of the real one; what components make on it goes when the work is done. */
  pretend<Result>(device: Device, work: () => Promise<Result>): Promise<Result>;
  /** Makes a component as the preset names it from another declaration of it; `dispose` ends it, or the end of the run. */
  remake<Name extends Slot>(component: Component<Name>, index: number): Promise<Remade<Slots[Name]>>;
  /** Runs everything registered with `onDispose`, last first, and closes the device. Failures come together at the end. */
  dispose(): Promise<void>;
}

/** A component with what ends it, once. */
export interface Remade<Made> {
  readonly made: Made;
  readonly dispose: () => Promise<void>;
}

/** One container module for each plugin; the catalog has made sure that names are unique. */
export function createContainer(plugins: readonly Plugin[]): ComponentContainer {
  const root = new Container();
  for (const plugin of plugins) {
    const module = new ContainerModule(({ bind }) => {
      for (const component of plugin.provides) {
        bind<Component>(componentId(component.slot, component.name)).toConstantValue(component);
      }
    });
    root.load(module);
  }
  return { openRun: (options) => openRun(root, plugins, options) };
}

const deviceId = 'device';

type Dispose = () => void | Promise<void>;

function openRun(
  root: Container,
  plugins: readonly Plugin[],
  {
    preset,
    log,
    openDevice,
    path = (relative) => resolve(dirname(preset.file), relative),
    isWorker = false,
  }: RunOptions,
): RunContainer {
  const container = new Container({ parent: root, defaultScope: 'Singleton' });
  const disposals: Dispose[] = [];
  const waits = new Waits();
  const models = new WeakMap<Device, RunningModel>();
  /** The device in place of the real one, and how what was made on it goes. */
  let pretended: { readonly device: Device; readonly disposals: Dispose[] } | undefined;

  const device = (): Promise<Device> => container.getAsync<Device>(deviceId);
  container.bind<Device>(deviceId).toDynamicValue(async () => {
    const opened = await openDevice();
    disposals.push(() => opened.close());
    return opened;
  });
  const choices = (slot: string): readonly ComponentChoice[] => preset.components[slot] ?? [];
  const getAt = <Name extends Slot>(slot: Name, index: number): Promise<Slots[Name]> =>
    container.getAsync<Slots[Name]>(instanceId(slot, index));
  const onDevice: Scope['onDevice'] = (make, close) => {
    type Made = Awaited<ReturnType<typeof make>>;
    const made = new Map<Device, Promise<Made>>();
    const makeOn = async (on: Device): Promise<Made> => make(on) as Made | Promise<Made>;
    return async () => {
      const list = pretended?.disposals ?? disposals;
      const on = pretended?.device ?? (await device());
      const known = made.get(on);
      if (known !== undefined) return known;
      const making = makeOn(on);
      made.set(on, making);
      making.catch(() => made.delete(on));
      list.push(async () => {
        made.delete(on);
        // Whoever asked for it knows why it could not be made.
        const [result] = await Promise.allSettled([making]);
        if (result.status === 'fulfilled') await close?.(result.value);
      });
      return making;
    };
  };

  const scopeOf = (slot: string, choice: ComponentChoice, index: number, list: Dispose[]): Scope => {
    const self = instanceId(slot, index);
    const ask = async <Name extends Slot>(other: Name, at: number): Promise<Slots[Name]> => {
      waits.add(self, instanceId(other, at));
      return getAt(other, at);
    };
    const calls = new PolicedCalls({
      settings: choice,
      who: `${slot} "${choice.name}"`,
      component: choice.use,
      folder: choice.cache === 'off' ? undefined : (choice.cache ?? join(cacheDirectory(), 'judgements')),
      log,
      isSeenToElsewhere: isWorker && choice.byWorkers === true,
    });
    list.push(() => calls.close());
    const scope: Omit<Scope, 'published'> = {
      log,
      seed: preset.seed,
      calls,
      path,
      onDevice,
      model: async () => {
        const model = models.get(pretended?.device ?? (await device()));
        if (model === undefined) throw noModel(`${slot} "${choice.name}"`);
        return model;
      },
      onDispose: (dispose) => void list.push(dispose),
      get: async (other) => {
        if (choices(other).length === 0) throw missingComponent(other, `${slot} "${choice.use}"`);
        return ask(other, 0);
      },
      getAll: (other) => oneByOne(choices(other), (_, at) => ask(other, at)),
    };
    return { ...scope, published: (folder, options = {}) => openPublished(folder, options, plugins, scope) };
  };
  const handOut: HandOut = async (made, choice, scope) => {
    const isHandedOut = !isWorker && (choice.byWorkers === true || (made as Reward | Judge).byWorkers === true);
    if (!isHandedOut) return made;
    const executor = choices('executor').length === 0 ? undefined : await scope.get('executor');
    const identity = answererIdentity(choice, preset);
    const answerer = made as Reward | Judge | Benchmark;
    // What would have to be made on the device first is the workers' alone.
    const checks =
      answerer.reserve === undefined
        ? new AnswerChecks(answerService(answerer, choice, identity), scope.log)
        : undefined;
    const parts = { identity, executor, calls: scope.calls, checks };
    switch (choice.slot) {
      case 'reward':
        return handedOutReward(made as Reward, parts);
      case 'judge':
        return handedOutJudge(made as Judge, parts);
      case 'benchmark':
        return handedOutBenchmark(made as Benchmark, parts);
      default:
        return made;
    }
  };
  for (const [slot, list] of Object.entries(preset.components)) {
    list.forEach((choice, index) => {
      container
        .bind<unknown>(instanceId(slot, index))
        .toDynamicValue(() =>
          create(
            root.get<Component>(componentId(slot, choice.use)),
            choice,
            scopeOf(slot, choice, index, disposals),
            handOut,
          ),
        );
    });
  }
  const remake: RunContainer['remake'] = async (component, index) => {
    const choice = choices(component.slot)[index];
    if (choice === undefined) throw new RangeError(`the preset has no ${component.slot} ${index}`);
    const list: Dispose[] = [];
    const dispose = (): Promise<void> => disposeAll(list);
    try {
      const made = await create(component, choice, scopeOf(component.slot, choice, index, list), handOut);
      disposals.push(dispose);
      // What `create` returns is what the slot of the declaration holds.
      return { made: made as Slots[typeof component.slot], dispose };
    } catch (error) {
      await dispose();
      throw error;
    }
  };

  return {
    get: async (slot) => {
      if (choices(slot).length === 0) throw missingComponent(slot, 'the run');
      return getAt(slot, 0);
    },
    getAll: (slot) => oneByOne(choices(slot), (_, index) => getAt(slot, index)),
    device,
    offerModel: (on, model) => void models.set(on, model),
    remake,
    pretend: async (other, work) => {
      if (pretended !== undefined) throw new RangeError('one device is pretended already');
      const passing: Dispose[] = [];
      pretended = { device: other, disposals: passing };
      try {
        return await work();
      } finally {
        pretended = undefined;
        await disposeAll(passing);
        other.close();
      }
    },
    dispose: () => disposeAll(disposals),
  };
}

/** Components are created one after the other, so that the order of disposal is the same in every run. */
async function oneByOne<Item, Result>(
  items: readonly Item[],
  work: (item: Item, index: number) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const [index, item] of items.entries()) results.push(await work(item, index));
  return results;
}

/**
 * Slots whose components are objects with methods. What rewards and extensions throw is caught where they are called, with what the preset
 * says of it; what fills the slots of plugins may be anything.
 */
const blamedSlots: ReadonlySet<string> = new Set([
  'dataset',
  'tokenizer',
  'imageTokenizer',
  'backbone',
  'optimizer',
  'benchmark',
  'executor',
  'communicator',
  'recipe',
]);

/** Puts what workers are asked in place of a component that they answer for. */
type HandOut = (made: unknown, choice: ComponentChoice, scope: Scope) => Promise<unknown>;

async function create(component: Component, choice: ComponentChoice, scope: Scope, handOut: HandOut): Promise<unknown> {
  const turn = takeTurn();
  try {
    const made = await unlessStray(component.create(choice.options, scope), turn);
    if (choice.slot === 'judge') {
      refuseNoJudge(made as Judge, judgePlace(choice));
      return offeredJudge((await handOut(made, choice, scope)) as Judge, choice, scope.calls);
    }
    if (choice.plugin === undefined) return await handOut(made, choice, scope);
    const who = `${choice.slot} "${choice.name}" of plugin "${choice.plugin}"`;
    refuseIncomplete(made, choice.slot, who);
    // A recipe is the run itself, which ends in good order when an error strays.
    const isAnswer = choice.slot !== 'recipe';
    return await handOut(
      blamedSlots.has(choice.slot) ? blamed(made as object, who, { isAnswer }) : made,
      choice,
      scope,
    );
  } catch (cause) {
    // An error that says what to do is not improved by a wrapper.
    if (cause instanceof ReasongenError) throw cause;
    throw new ReasongenError({
      code: 'COMPONENT_FAILED',
      message: cause instanceof Error ? cause.message : String(cause),
      place: blamePlace(
        `creating ${choice.slot} "${choice.use}"${choice.plugin === undefined ? '' : ` of plugin "${choice.plugin}"`}`,
        cause,
      ),
      cause,
    });
  }
}

export function missingComponent(slot: string, who: string): ReasongenError {
  return new ReasongenError({
    code: 'MISSING_COMPONENT',
    message: `${who} needs a component in the slot "${slot}", and the preset names none`,
    hint: `add it to the preset; \`reasongen describe ${slot}\` lists what there is`,
    exitCode: exitCodes.badPreset,
  });
}

function noModel(place: string): ReasongenError {
  return new ReasongenError({
    code: 'NO_MODEL',
    message: 'it looks with the model of the run, and this run has none',
    place,
    hint: 'name the weights that it is to look with: model: FOLDER',
    exitCode: exitCodes.badPreset,
  });
}

/** Who waits for whom. Two components that wait for each other would wait for ever: the circle is an error instead. */
class Waits {
  readonly #edges = new Map<string, Set<string>>();

  add(from: string, to: string): void {
    const circle = this.#pathTo(to, from, [from]);
    if (circle !== undefined) {
      throw new ReasongenError({
        code: 'COMPONENTS_IN_A_CIRCLE',
        message: `components need each other: ${circle.join(' → ')}`,
        hint: 'one of them must do without the other while it is created',
      });
    }
    const edges = this.#edges.get(from) ?? new Set();
    this.#edges.set(from, edges.add(to));
  }

  #pathTo(at: string, goal: string, path: readonly string[]): readonly string[] | undefined {
    if (at === goal) return [...path, at];
    for (const next of this.#edges.get(at) ?? []) {
      const found = this.#pathTo(next, goal, [...path, at]);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

/** The container would release in the order of its bindings and close the device first; hence a stack of our own. */
async function disposeAll(disposals: Dispose[]): Promise<void> {
  const failures: unknown[] = [];
  for (let dispose = disposals.pop(); dispose !== undefined; dispose = disposals.pop()) {
    try {
      await dispose();
    } catch (failure) {
      failures.push(failure);
    }
  }
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) throw new AggregateError(failures, 'several components failed to close');
}

function componentId(slot: string, name: string): string {
  return `component ${slot} ${name}`;
}

function instanceId(slot: string, index: number): string {
  return `${slot}[${index}]`;
}
