import type { Device } from '../gpu/device.ts';
import type { PlanningDevice } from '../gpu/planning-device.ts';
import type { Hooks } from '../hooks.ts';
import type { Extension } from './hooks.ts';
import type { RunDirectory } from '../io/run-directory.ts';
import type { Log } from '../log.ts';
import type { Backbone } from './backbone.ts';
import type { Benchmark } from './benchmark.ts';
import type { Dataset } from './dataset.ts';
import type { Communicator } from './communicator.ts';
import type { Executor } from './executor.ts';
import type { ImageTokenizer } from './image-tokenizer.ts';
import type { Judge } from './judge.ts';
import type { Optimizer } from './optimizer.ts';
import type { Preset } from './preset.ts';
import type { Reward } from './reward.ts';
import type { RunningModel } from './running-model.ts';
import type { Tokenizer } from './tokenizer.ts';

/** A reward with the name and the weight the preset gives it. */
export interface NamedReward {
  readonly name: string;
  readonly weight: number;
  readonly reward: Reward;
  /** The plugin that provides it. */
  readonly plugin?: string;
  /** What its failure means: the end of the run, a step without the samples, or a total without this reward. */
  readonly onError?: 'fail' | 'drop' | 'ignore';
  /** What becomes of a sample on which it has no verdict: left out of its group (`drop`, the default), its group's mean, or the end of the run. */
  readonly onNoVerdict?: 'drop' | 'group-mean' | 'fail';
  /** Its value multiplies the total instead of being added to it. */
  readonly gate?: boolean;
  /** Measured and never trained on. */
  readonly heldOut?: boolean;
  /** Its weight by step: straight lines between these points, constant before the first and behind the last. */
  readonly schedule?: readonly (readonly [step: number, weight: number])[];
  /** How often it is asked again after a failure. */
  readonly retries?: number;
}

export interface NamedBenchmark {
  readonly name: string;
  readonly benchmark: Benchmark;
}

/**
 * The components the preset names. Reading one it does not name throws MISSING_COMPONENT; a recipe that lists its slots
 * in `needs` has them for certain. `has` asks first.
 */
export interface RunComponents {
  readonly tokenizer: Tokenizer;
  readonly imageTokenizer: ImageTokenizer;
  readonly backbone: Backbone;
  readonly dataset: Dataset;
  readonly optimizer: Optimizer;
  /** Each with its name; empty when the preset names none, as are rewards and benchmarks. */
  readonly judges: readonly Judge[];
  readonly rewards: readonly NamedReward[];
  readonly benchmarks: readonly NamedBenchmark[];
  /** Where drawings are computed: on the device of the run where the preset names none. */
  readonly executor: Executor;
  /** With whom the run trains: alone where it was started alone. */
  readonly communicator: Communicator;
  has(slot: 'tokenizer' | 'imageTokenizer' | 'backbone' | 'dataset' | 'optimizer'): boolean;
}

/** What a plan is made from. */
export interface PlanContext extends RunComponents {
  readonly preset: Preset;
  readonly seed: number;
  /** Counts what a run would make on the adapter; components that ask for the device get the same one. */
  readonly device: PlanningDevice;
  readonly log: Log;
  /** As in a run. */
  readonly offerModel: (model: RunningModel) => void;
  /** Whether the run goes on from a checkpoint of its own. */
  readonly resume: boolean;
}

/** What a recipe will do and need, said before a device is opened. */
export interface Plan {
  /** Batch arithmetic in words, one fact a line: `16 prompts x 8 samples = 128 drawings a step`. */
  readonly lines: readonly string[];
  /** Bytes on the device by purpose: `weights`, `gradients`, `optimizer`, `programs`, ...; together the most there are at any time. */
  readonly bytes: Readonly<Record<string, number>>;
  /** Bytes of the largest range a kernel binds at once, and what that is. */
  readonly largestBinding: number;
  readonly largestBindingName?: string;
  /** Bytes of the largest buffer. */
  readonly largestBuffer?: number;
  /** Weights that one binding cannot hold, and in how many parts they lie. */
  readonly inParts?: readonly { readonly name: string; readonly parts: number }[];
}

/** Asks a recipe to stop after the step it is in. The recipe saves and returns. */
export interface StopRequest {
  readonly requested: boolean;
  /** Why, in words; empty until requested. */
  readonly reason: string;
  /** Calls `listener` when it is requested, at once where it has been. Returns how to stop listening. */
  heard(listener: () => void): () => void;
  /** Over ranks a wish that one of them has heard counts from the next such call on, which all make at the same place; alone it counts at once. */
  agree(): Promise<void>;
  /** Ends the run with `exitCode` (a guard: 7) once the recipe has returned. The first request counts. */
  request(reason: string, exitCode: number): void;
}

/** What somebody at the live page wants of a run beside its steps. */
export interface Asked {
  /** A checkpoint after this step. */
  readonly save: boolean;
  /** To be drawn with the newest weights. */
  readonly prompts: readonly string[];
}

/** Everything a recipe works with. The device is open, the components exist, `start` has been fired. */
export interface RunContext extends RunComponents {
  /** Resolved and deeply frozen. */
  readonly preset: Preset;
  readonly seed: number;
  readonly directory: RunDirectory;
  readonly device: Device;
  readonly hooks: Hooks;
  readonly log: Log;
  /** Results for standard output, such as an answer while it comes; what is for the person at the screen goes to `log`. */
  readonly write: (text: string) => void;
  readonly stop: StopRequest;
  /** Shows the model of the run, once it is on the device, to components that look at pictures with it. */
  readonly offerModel: (model: RunningModel) => void;
  /** Go on from the last checkpoint in `directory`. */
  readonly resume: boolean;
  /** Aborted only when the run is given up: pass it to judges. */
  readonly signal: AbortSignal;
  /**
   * Called before a step is drawn by a recipe that trains by rewards: files of rewards that were edited meanwhile judge from now on. Returns the
   * beginning of the sha256 of each such file, by `rewardFile/NAME`, for the metrics of the step.
   */
  readonly beginStep: (step: number) => Promise<Readonly<Record<string, string>>>;
  /** Called behind every step, before `stop` is looked at and the recipe saves: what has been asked for since the last call, told once. */
  readonly asked: () => Promise<Asked>;
}

/** A change of options that makes a run need less, and its plan. */
export interface Smaller {
  /** As one writes it: `recipe.microBatch: 8`. */
  readonly change: string;
  /** True where something else is trained, or with less precision, and not the same thing in other pieces: proposed last. */
  readonly isDrastic?: boolean;
  plan(context: PlanContext): Plan | Promise<Plan>;
  /** The same with so many bytes more spent on speed, with infinitely many on all that is of use: proposed instead where the change itself leaves room. */
  readonly spend?: (bytes: number) => Smaller;
}

/** The program of a run. */
export interface Recipe {
  /** Makes on the planning device what `run` makes on a real one, by the same functions. */
  plan(context: PlanContext): Plan | Promise<Plan>;
  /** It computes nothing itself: where its plan takes no memory of a device, none is opened. */
  readonly mayDoWithoutDevice?: true;
  /** Several ranks may run it together. */
  readonly takesRanks?: true;
  /** Asked for when the plan does not fit: changes to propose, the least harmful first. */
  readonly smaller?: readonly Smaller[];
  /** What it does beside training, by name: taps the hooks as the preset's extensions do, behind them where the order is the same; over ranks on the first one, so it must change nothing. */
  readonly extensions?: Readonly<Record<string, Extension>>;
  run(context: RunContext): Promise<void>;
}
