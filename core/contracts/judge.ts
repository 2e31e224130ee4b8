import type { Image } from './image.ts';

/** Left, top, right and bottom edge in pixels of the picture that was shown. */
export type Box = readonly [x1: number, y1: number, x2: number, y2: number];

/** Which pixels belong to something. */
export interface Mask {
  readonly width: number;
  readonly height: number;
  /** A byte per pixel, 0 or 1, row by row. */
  readonly bits: Uint8Array;
}

/** An object that a detector sees. */
export interface Detection {
  readonly label: string;
  /** How sure the detector is, from 0 to 1. */
  readonly score: number;
  readonly box: Box;
  readonly mask?: Mask;
}

/** A line of text that stands in a picture. */
export interface TextLine {
  readonly text: string;
  /** How sure the reader is, from 0 to 1. */
  readonly score: number;
  readonly box: Box;
}

/** How far away everything is; a larger value is nearer. Values of two pictures need not compare. */
export interface DepthMap {
  readonly width: number;
  readonly height: number;
  /** Row by row. */
  readonly values: Float32Array;
}

/**
 * Gives evidence about a picture and nothing else: what it proves is decided by rewards and benchmarks, which ask for a capability by
 * `judgeFor`. Every method is optional, and a judge has at least one. What they are asked reaches them through the runtime, which keeps
 * answers on disk, asks a few at a time, and asks again after a failure that may pass, as the preset says.
 *
 * `create` should be cheap: load models when the first question comes.
 */
export interface Judge {
  /** As results name it: `RT-DETRv2`. */
  readonly title: string;
  /**
   * Everything that makes its answers its answers: model, hash of the weights, template, thresholds, versions of libraries. Kept answers are
   * used for equal fingerprints only, and results tell it.
   */
  readonly fingerprint: Readonly<Record<string, string>>;
  /** Its answers to the same question change while the run goes on: none is kept. */
  readonly changes?: true;
  /** Workers answer for it, whether or not the preset says so. */
  readonly byWorkers?: true;
  /** Makes on the device what it answers with, before anything is asked. A plan calls it, to know what memory that takes. */
  reserve?(): Promise<void>;
  /**
   * Gives back what it holds on the device, until it is asked again: nobody will ask for a while. One that has it comes and goes, and what asks it is asked once
   * everything is drawn.
   */
  rest?(): Promise<void>;
  /** Its name in the preset; the runtime sets it. */
  readonly name?: string;
  /** Objects in the picture, the surest first: all classes, above a low floor. */
  detect?(image: Image, signal: AbortSignal): Promise<readonly Detection[]>;
  /** How well each label fits an object of the picture, one number a label; `{}` in a template stands for the label. */
  classify?(
    image: Image,
    object: Detection,
    labels: readonly string[],
    templates: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly number[]>;
  /** Cosine of the picture and each text. */
  similarity?(image: Image, texts: readonly string[], signal: AbortSignal): Promise<readonly number[]>;
  /** The answer to a question about the picture, in its own words. */
  answer?(image: Image, question: string, signal: AbortSignal): Promise<string>;
  /** The probability that the answer begins with any spelling of each set; the sets do not add up to one. */
  answerProbabilities?(
    image: Image,
    question: string,
    answers: readonly (readonly string[])[],
    signal: AbortSignal,
  ): Promise<readonly number[]>;
  /** Text that stands in the picture. */
  read?(image: Image, signal: AbortSignal): Promise<readonly TextLine[]>;
  depth?(image: Image, signal: AbortSignal): Promise<DepthMap>;
  /** Text to text, without a picture: questions from a prompt, for example. */
  write?(instruction: string, signal: AbortSignal): Promise<string>;
}

/** What a judge may be asked for. */
export type JudgeCapability = Exclude<
  keyof Judge,
  'title' | 'fingerprint' | 'name' | 'changes' | 'byWorkers' | 'reserve' | 'rest'
>;

/** A judge that certainly has a capability, with its name in the preset. */
export type JudgeWith<Capability extends JudgeCapability> = Judge &
  Required<Pick<Judge, Capability>> & { readonly name: string };
