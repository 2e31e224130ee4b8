import type { Device } from '../gpu/device.ts';
import type { Log } from '../log.ts';
import type { z } from '../preset/zod.ts';
import type { Backbone } from './backbone.ts';
import type { Benchmark } from './benchmark.ts';
import type { Calls } from './calls.ts';
import type { Communicator } from './communicator.ts';
import type { Dataset } from './dataset.ts';
import type { Executor } from './executor.ts';
import type { Extension } from './hooks.ts';
import type { ImageTokenizer } from './image-tokenizer.ts';
import type { Judge } from './judge.ts';
import type { Optimizer } from './optimizer.ts';
import type { PublishedFormat } from './published.ts';
import type { Recipe } from './recipe.ts';
import type { Reward } from './reward.ts';
import type { RunningModel } from './running-model.ts';
import type { Tokenizer } from './tokenizer.ts';

/**
 * What a component of each slot creates. A plugin adds a slot by declaration merging on this interface
 * and by listing it in `slots` of its plugin object.
 */
export interface Slots {
  tokenizer: Tokenizer;
  imageTokenizer: ImageTokenizer;
  backbone: Backbone;
  judge: Judge;
  reward: Reward;
  optimizer: Optimizer;
  benchmark: Benchmark;
  dataset: Dataset;
  executor: Executor;
  communicator: Communicator;
  recipe: Recipe;
  extension: Extension;
}

// A plugin may add slots by declaration merging: `keyof` alone does not say that they are texts.
// oxlint-disable-next-line typescript/no-redundant-type-constituents
export type Slot = keyof Slots & string;

/** How a slot appears in a preset: under `key`, as one component or as a list. */
export interface SlotDeclaration {
  readonly slot: Slot;
  readonly key: string;
  readonly many: boolean;
  readonly summary: string;
}

/** What answers questions of a published model. */
export interface PublishedModel {
  readonly tokenizer: Tokenizer;
  readonly backbone: Backbone;
}

/** What a component may ask of the run that creates it. */
export interface Scope {
  readonly log: Log;
  /** The seed of the run. */
  readonly seed: number;
  /** The component that fills another slot, created on first use. Fails when the preset fills it with none. */
  get<Name extends Slot>(slot: Name): Promise<Slots[Name]>;
  /** Every component of a slot, in the order of the preset; empty when there is none. */
  getAll<Name extends Slot>(slot: Name): Promise<readonly Slots[Name][]>;
  /** Calls to what is outside of the run, under the policies of the component's entry in the preset. */
  readonly calls: Calls;
  /**
   * How a component gets at the device: what it needs there is made by `make` on first use, once for a device, and closed before that is.
   * A plan is made with the components of the run on a device that only counts, so nothing of it may be kept elsewhere.
   */
  readonly onDevice: <Made>(
    make: (device: Device) => Made | Promise<Made>,
    close?: (made: Made) => void | Promise<void>,
  ) => () => Promise<Made>;
  /**
   * The model that the run draws with or trains, on the device it is on now. Throws NO_MODEL where there is none, or not yet: ask for it when it
   * is needed, not in `create`.
   */
  readonly model: () => Promise<RunningModel>;
  /**
   * Tokenizer and backbone of a published model in a folder, for this component alone, whatever the preset names. `options` are those of the
   * backbone beside its folder. Throws UNKNOWN_MODEL.
   */
  readonly published: (folder: string, options?: Readonly<Record<string, unknown>>) => Promise<PublishedModel>;
  /** Absolute form of a path written in the preset. Options declared with `inputFile()` are already absolute. */
  path(relative: string): string;
  /** Called once when the run ends, in reverse order of registration. */
  onDispose(dispose: () => void | Promise<void>): void;
}

/** A component as the runtime sees it, its option types erased. `define…` functions make it. */
export interface Component<Name extends Slot = Slot> {
  readonly slot: Name;
  readonly name: string;
  /** One line for `describe`. */
  readonly summary: string;
  /** Always a strict object: an unknown key is a mistake. */
  readonly options: z.ZodObject;
  /** Slots the preset must fill for this component to work; `check` reports the missing ones. */
  readonly needs: readonly Slot[];
  /** Of an extension: see `Declaration`. */
  readonly onlyLooks?: true;
  /** Of a recipe: see `Declaration`. */
  metrics?(options: Readonly<Record<string, unknown>>, named: NamedComponents): readonly string[];
  create(options: Readonly<Record<string, unknown>>, scope: Scope): Slots[Name] | Promise<Slots[Name]>;
}

/** What a preset calls its rewards and benchmarks. */
export interface NamedComponents {
  readonly rewards: readonly string[];
  readonly benchmarks: readonly string[];
}

/** A package that some components need and that is not installed with their plugin, because it is large or not for every machine. */
export interface OptionalPackage {
  readonly name: string;
  /** What it is needed for, in words. */
  readonly purpose: string;
  /** The command that installs it. */
  readonly install: string;
}

/** What a package or file exports as default: a name and what it provides. */
export interface Plugin {
  readonly name: string;
  readonly provides: readonly Component[];
  /** Slots of its own, beyond the built-in ones. */
  readonly slots?: readonly SlotDeclaration[];
  /** Published forms of models that it knows how to read and write. */
  readonly formats?: readonly PublishedFormat[];
  /** `doctor` says which of them are there, and how to get the others. */
  readonly packages?: readonly OptionalPackage[];
}
