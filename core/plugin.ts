/**
 * What an author of plugins imports. A plugin is a file or package whose default export is
 * `definePlugin({ name, provides: [defineReward({...}), ...] })`.
 */
import type { Component, NamedComponents, Plugin, Scope, Slot, Slots } from './contracts/slots.ts';
import { folderPath, inputFile } from './preset/input-file.ts';
import { metricName } from './preset/metric-name.ts';
import { keyVariableName, keyVariableOption, serverAddress } from './preset/server-options.ts';
import type { Reward } from './contracts/reward.ts';
import { z } from './preset/zod.ts';
import {
  batchwise,
  groupwise,
  pairwise,
  pointwise,
  type BatchwiseReward,
  type GroupwiseReward,
  type PairwiseReward,
  type PointwiseReward,
} from './rl/reward-shapes.ts';

export { folderPath, inputFile, keyVariableName, keyVariableOption, metricName, serverAddress, z };
export { exitCodes, reasonOf, ReasongenError, type ErrorFields } from './errors.ts';
export { judgeFor } from './judging/judge-for.ts';
export { yesOrNo } from './questions/answer.ts';
export { askerJudge, directCalls, judgeAsker, type AskedJudge, type Asker } from './questions/asker.ts';
export { questionOptions } from './questions/options.ts';
export { verdictByQuestions, type QuestionChoice } from './questions/verdict.ts';
export { keyFor, readKey, requireKey } from './keys.ts';
export { launchedAs, namedMpiLibrary, rankName, type Launched } from './ranks/launched.ts';
export { single } from './ranks/single.ts';
export { once } from './once.ts';
export { askServer, exchanged, oneLine, parsedAnswer, type Server } from './answered.ts';
export { readText, request } from './request.ts';
export { hide } from './scrub.ts';
export { mean } from './rl/statistics.ts';
export { weighTokens } from './rl/token-weights.ts';
export type { BatchwiseReward, GroupwiseReward, PairwiseReward, PointwiseReward } from './rl/reward-shapes.ts';
export { backoffSeconds, TryAgainError } from './try-again.ts';
export { diskError, hasCode } from './io/disk.ts';
export { parseTable, type TableRow } from './io/table.ts';
export { readTextRows, type TextRow } from './io/text-rows.ts';
export { findPackage, type InstalledPackage } from './io/installed-package.ts';
export { decodeText, knownBinary, readBounded, shorten } from './io/text.ts';

export type { Backbone } from './contracts/backbone.ts';
export type {
  Atom,
  Benchmark,
  DirectBenchmark,
  EvidenceBenchmark,
  JudgedPicture,
  JudgeUse,
  RewardedBenchmark,
  Summary,
  Verdict,
} from './contracts/benchmark.ts';
export type { LocatedPicture, PictureFolder, PictureLayout } from './contracts/picture-layout.ts';
export type * from './contracts/calls.ts';
export type * from './contracts/communicator.ts';
export type {
  BadRow,
  Dataset,
  Example,
  ExampleSource,
  GeneratedDataset,
  PromptItem,
  Split,
  StoredDataset,
  StoredExample,
} from './contracts/dataset.ts';
export type * from './contracts/executor.ts';
export { precisions, type Precision } from './gpu/matrix-products.ts';
export type * from './contracts/hooks.ts';
export type { Image } from './contracts/image.ts';
export type { ImageTokenizer } from './contracts/image-tokenizer.ts';
export type * from './contracts/judge.ts';
export type { Optimizer } from './contracts/optimizer.ts';
export type { PublishedLayout as Layout, PublishedFormat, PublishedType, WantedConfig } from './contracts/published.ts';
export type { Plan, PlanContext, Recipe, RunContext } from './contracts/recipe.ts';
export type { NoVerdict, Reward, RewardAnswer, Sample, Score } from './contracts/reward.ts';
export type {
  Component,
  NamedComponents,
  OptionalPackage,
  Plugin,
  PublishedModel,
  Scope,
  Slot,
  SlotDeclaration,
  Slots,
} from './contracts/slots.ts';
export type { SpecialTokens, Tokenizer, Turn } from './contracts/tokenizer.ts';
export type { Log, Progress } from './log.ts';

/** A component before it is given its slot. `create` sees the checked options with their declared types. */
export interface Declaration<Name extends Slot, Options extends z.ZodObject> {
  /** Unique within its slot; what a preset writes after `use`. Kebab-case. */
  readonly name: string;
  /** One line for `describe`. */
  readonly summary: string;
  /** A `z.strictObject`; give every option a `.describe()` text and, where one is sensible, a `.default()`. */
  readonly options: Options;
  readonly needs?: readonly Slot[];
  /** Of an extension: it changes nothing, whatever hooks it taps. Over ranks it runs on the first one, and a replay does without it. */
  readonly onlyLooks?: true;
  /**
   * Of a recipe: names of all numbers that its steps may have with these options, `*` for any characters. What is made by `metricName()`
   * must be one of them; without this, any name is taken.
   */
  metrics?(options: Readonly<z.output<Options>>, named: NamedComponents): readonly string[];
  create(options: Readonly<z.output<Options>>, scope: Scope): Slots[Name] | Promise<Slots[Name]>;
}

/** Defines a component of any slot, also of one a plugin has added. */
export function defineComponent<Name extends Slot, Options extends z.ZodObject>(
  slot: Name,
  declaration: Declaration<Name, Options>,
): Component<Name> {
  return {
    slot,
    name: declaration.name,
    summary: declaration.summary,
    options: declaration.options,
    needs: declaration.needs ?? [],
    ...(declaration.onlyLooks === true && { onlyLooks: true as const }),
    // The runtime passes nothing but the output of `declaration.options`, which is where the type comes from.
    create: (options, scope) => declaration.create(options as Readonly<z.output<Options>>, scope),
    ...(declaration.metrics !== undefined && {
      metrics: (options, named) => declaration.metrics?.(options as Readonly<z.output<Options>>, named) ?? [],
    }),
  };
}

/** Text to ids and back: `create` returns a `Tokenizer`. */
export function defineTokenizer<Options extends z.ZodObject>(
  declaration: Declaration<'tokenizer', Options>,
): Component<'tokenizer'> {
  return defineComponent('tokenizer', declaration);
}

/** Pictures to codes and back: `create` returns an `ImageTokenizer`. */
export function defineImageTokenizer<Options extends z.ZodObject>(
  declaration: Declaration<'imageTokenizer', Options>,
): Component<'imageTokenizer'> {
  return defineComponent('imageTokenizer', declaration);
}

/** A decoder that writes text and image tokens: `create` returns a `Backbone`. */
export function defineBackbone<Options extends z.ZodObject>(
  declaration: Declaration<'backbone', Options>,
): Component<'backbone'> {
  return defineComponent('backbone', declaration);
}

/** Gives evidence about pictures: `create` returns a `Judge`. */
export function defineJudge<Options extends z.ZodObject>(
  declaration: Declaration<'judge', Options>,
): Component<'judge'> {
  return defineComponent('judge', declaration);
}

/** Judges drawings: `create` returns a `Reward`. */
export function defineReward<Options extends z.ZodObject>(
  declaration: Declaration<'reward', Options>,
): Component<'reward'> {
  return defineComponent('reward', declaration);
}

/** Judges one drawing at a time: `create` returns `{ score(sample, signal) }`. Drawings are judged while others are still being drawn. */
export function definePointwiseReward<Options extends z.ZodObject>(
  declaration: RewardDeclaration<Options, PointwiseReward>,
): Component<'reward'> {
  return shapedReward(declaration, pointwise);
}

/** Judges the drawings of a prompt together: `create` returns `{ score(group, signal) }`, one answer for each. */
export function defineGroupwiseReward<Options extends z.ZodObject>(
  declaration: RewardDeclaration<Options, GroupwiseReward>,
): Component<'reward'> {
  return shapedReward(declaration, groupwise);
}

/** Judges by how often a drawing beats another of its prompt: `create` returns `{ compare(a, b, signal) }`. */
export function definePairwiseReward<Options extends z.ZodObject>(
  declaration: RewardDeclaration<Options, PairwiseReward>,
): Component<'reward'> {
  return shapedReward(declaration, pairwise);
}

/** Judges everything of a step together: `create` returns `{ score(samples, signal) }`, one answer for each. */
export function defineBatchwiseReward<Options extends z.ZodObject>(
  declaration: RewardDeclaration<Options, BatchwiseReward>,
): Component<'reward'> {
  return shapedReward(declaration, batchwise);
}

/** As `Declaration`, with what a reward of one shape creates. */
export interface RewardDeclaration<Options extends z.ZodObject, Own> extends Omit<
  Declaration<'reward', Options>,
  'create'
> {
  create(options: Readonly<z.output<Options>>, scope: Scope): Own | Promise<Own>;
}

function shapedReward<Options extends z.ZodObject, Own>(
  declaration: RewardDeclaration<Options, Own>,
  shape: (own: Own) => Reward,
): Component<'reward'> {
  return defineReward({
    ...declaration,
    create: async (options, scope) => shape(await declaration.create(options, scope)),
  });
}

/** Turns gradients into new weights: `create` returns an `Optimizer`. */
export function defineOptimizer<Options extends z.ZodObject>(
  declaration: Declaration<'optimizer', Options>,
): Component<'optimizer'> {
  return defineComponent('optimizer', declaration);
}

/** Fixed prompts with a verdict: `create` returns a `Benchmark`. */
export function defineBenchmark<Options extends z.ZodObject>(
  declaration: Declaration<'benchmark', Options>,
): Component<'benchmark'> {
  return defineComponent('benchmark', declaration);
}

/** Examples and prompts: `create` returns a `Dataset`. */
export function defineDataset<Options extends z.ZodObject>(
  declaration: Declaration<'dataset', Options>,
): Component<'dataset'> {
  return defineComponent('dataset', declaration);
}

/** The program of a run: `create` returns a `Recipe`. */
export function defineRecipe<Options extends z.ZodObject>(
  declaration: Declaration<'recipe', Options>,
): Component<'recipe'> {
  return defineComponent('recipe', declaration);
}

/** Computes drawings elsewhere than in the process of the run: `create` returns an `Executor`. */
export function defineExecutor<Options extends z.ZodObject>(
  declaration: Declaration<'executor', Options>,
): Component<'executor'> {
  return defineComponent('executor', declaration);
}

/** Lets processes train one model together: `create` returns a `Communicator`. */
export function defineCommunicator<Options extends z.ZodObject>(
  declaration: Declaration<'communicator', Options>,
): Component<'communicator'> {
  return defineComponent('communicator', declaration);
}

/** An extension taps hooks: its `create` returns handlers. */
export function defineExtension<Options extends z.ZodObject>(
  declaration: Declaration<'extension', Options>,
): Component<'extension'> {
  return defineComponent('extension', declaration);
}

/** Checks nothing at run time: the loader does, so that a hand-written object is judged alike. */
export function definePlugin(plugin: Plugin): Plugin {
  return plugin;
}
