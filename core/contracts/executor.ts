/** Where work is done: in the process of the run, or by workers that serve it. */
import type { SampledSequence, SampleProgress, SampleRequest } from '../nn/sampling.ts';
import type { OperandCounts, Precision } from '../gpu/matrix-products.ts';
import type { WeightStorage } from '../weights/layout.ts';

/** The largest that is drawn at once; a sampler is made for it. Plain JSON. */
export interface DrawSizes {
  /** Sequences. */
  readonly rows: number;
  /** Different prompts among them. */
  readonly prompts: number;
  /** Longest prompt in tokens. */
  readonly promptTokens: number;
  /** Longest rationale in tokens, what ends it included; 0 where none is written. */
  readonly textTokens: number;
  /** Codes of a picture. */
  readonly codes: number;
  readonly isGuided: boolean;
  readonly cache: 'f32' | 'f16';
  readonly precision: Precision;
}

/** What is drawn: every prompt `samplesPerPrompt` times. Plain JSON. */
export interface DrawRequest extends Pick<
  SampleRequest,
  'prompts' | 'samplesPerPrompt' | 'seed' | 'text' | 'image' | 'rationale'
> {
  /** One per sample, prompts in order, u32: what its randomness is counted by. */
  readonly rowKeys: readonly number[];
}

/**
 * Draws with the weights of a model as they are when it is asked. What comes depends on them and on the request, never on when it is drawn, in
 * which order, or by whom: a sequence has the same bits whatever it is drawn beside.
 */
export interface SequenceDrawer {
  /** Requests that it takes at a time; 1 unless told. */
  readonly atOnce?: number;
  /** The samples of the first prompt, then of the second, … */
  draw(request: DrawRequest, onProgress?: (progress: SampleProgress) => void): Promise<SampledSequence[]>;
  /**
   * Begins to draw with the weights as they are now, whatever becomes of them, and resolves once they may change. What that gives is waited for by
   * the function: undefined where it is to be drawn when it is needed. Absent where drawing would wait for the device that trains.
   */
  ahead?(request: DrawRequest): Promise<() => Promise<SampledSequence[] | undefined>>;
  /** What the device of the run has multiplied on tensor cores since it was asked last; absent where it does not, or others draw. */
  takeCounts?(): Promise<OperandCounts>;
  /** Takes nothing of a worker any more. */
  refuse?(worker: string, why: string): Promise<void>;
  close(): void;
}

/** One weight as it lies on a device. */
export interface SharedTensor {
  readonly name: string;
  readonly storage: WeightStorage;
}

/** Low-rank matrices beside a weight. */
export interface SharedAdapter {
  readonly weight: string;
  readonly rank: number;
  readonly scale: number;
}

/** Which weights there are and how each is stored; plain JSON. Shapes are those of the backbone. */
export interface WeightLayout {
  readonly tensors: readonly SharedTensor[];
  readonly adapters: readonly SharedAdapter[];
}

/** The weights of a model as bytes by name: those of the layout, and of each adapter its two matrices. */
export interface SharedWeights {
  readonly layout: WeightLayout;
  readonly names: readonly string[];
  /** Whether training changes a tensor in place; `true` where nobody knows. */
  moves(name: string): boolean;
  /** A number that changes whenever they may have; undefined where nobody counts. */
  version(): number | undefined;
  byteLength(name: string): number;
  /** The bytes of these tensors as they are stored. */
  read(names: readonly string[]): Promise<Uint8Array[]>;
}

/** Weights that are to become those of another model of the same layout. */
export interface ReceivingWeights {
  readonly names: readonly string[];
  byteLength(name: string): number;
  write(name: string, bytes: Uint8Array): void;
}

/** What must agree for two machines to draw the same bits, by what it is called: program, adapter, model, tokenizer. */
export type DrawIdentity = Readonly<Record<'program' | 'adapter' | 'model' | 'tokenizer', string>>;

/** What an executor is told of the model that a run draws with. */
export interface DrawnModel {
  readonly identity: DrawIdentity;
  readonly sizes: DrawSizes;
  /** Text ids and image codes are below these. */
  readonly vocabulary: { readonly text: number; readonly image: number };
  readonly weights: SharedWeights;
  /** Draws on the device of the run. */
  readonly local: SequenceDrawer;
  /** Tells runs apart: the directory of this one. */
  readonly run: string;
  /** Aborted when the run is given up. */
  readonly signal: AbortSignal;
}

/** A model that draws for others. */
export interface DrawService {
  readonly identity: DrawIdentity;
  /** Room for weights of a layout. What was there goes, unless the layout is the same. */
  openWeights(layout: WeightLayout): Promise<ReceivingWeights>;
  /** With the weights as they were written last. */
  draw(sizes: DrawSizes, request: DrawRequest): Promise<SampledSequence[]>;
}

/** What workers do for runs. */
export type WorkKind = 'draw' | 'judge' | 'evaluate';

/** A component that answers for runs: a reward or a judge (`judge`), or a benchmark (`evaluate`). Those of runs and workers meet where all of it agrees. */
export interface AnswererIdentity {
  readonly kind: Exclude<WorkKind, 'draw'>;
  readonly slot: 'reward' | 'judge' | 'benchmark';
  /** As the preset calls it. */
  readonly name: string;
  readonly program: string;
  /** Hash of what it is: component and options, the plugins of the preset, the judges it may ask. */
  readonly component: string;
}

/** Answers questions of runs. */
export interface AnswerService {
  readonly identity: AnswererIdentity;
  /** Questions that it takes at a time. */
  readonly atOnce: number;
  /** Plain JSON to plain JSON. A question that cannot be answered is an answer, too: why. */
  answer(question: unknown, signal: AbortSignal): Promise<unknown>;
}

/** What a worker does. */
export interface WorkerOffer {
  readonly draw?: DrawService;
  readonly answers: readonly AnswerService[];
}

/** A worker as it reports itself. */
export interface WorkerReport {
  readonly name: string;
  readonly program: string;
  /** Absent where it does not draw. */
  readonly draws?: DrawIdentity;
  readonly answers: readonly AnswererIdentity[];
  readonly host: string;
  readonly pid: number;
  /** Verdict of its self-check. */
  readonly check: string;
  /** Seconds since it began. */
  readonly seconds: number;
  readonly jobs: number;
  /** Why no run takes anything of it any more; absent unless it was refused. */
  readonly refused?: string;
}

/** Fills the slot `executor`. */
export interface Executor {
  /** What draws for a run in place of `model.local`, which it may use. */
  open(model: DrawnModel): SequenceDrawer | Promise<SequenceDrawer>;
  /** Workers of other adapters draw as well, whose numbers are to be measured before they are trained on. */
  readonly mixesAdapters?: boolean;
  /**
   * Has a worker answer that has the same component. Absent where there are no workers. Rejects when none does it, and when the signal is given.
   * `check` answers the question here and says in words what is wrong with an answer, undefined where nothing is: it costs what the question costs, so
   * some answers are checked, and who gives a wrong one is refused.
   */
  ask?(
    identity: AnswererIdentity,
    question: unknown,
    signal: AbortSignal,
    check?: (answer: unknown) => Promise<string | undefined>,
  ): Promise<{ readonly worker: string; readonly answer: unknown }>;
  /** Does what runs ask for until the signal; absent where there is nothing to serve. `check`: verdict of the self-check. */
  serve?(offer: WorkerOffer, check: string, signal: AbortSignal): Promise<void>;
  /** The workers that can be reached. */
  workers?(): Promise<readonly WorkerReport[]>;
}
