/** A model on the device as a server has it: what it can do of answering and drawing, made for as many at a time as the operator wants. */
import type { RunContext } from '../contracts/recipe.ts';
import type { Sampling } from '../drawing/drawer.ts';
import { openProducts } from '../matrix-trial.ts';
import { openModel, type OpenModel } from '../models/open-model.ts';
import type { WeightStorage } from '../weights/parameters.ts';
import { cannotConverse } from '../models/answerer.ts';
import { ServedAnswers } from './answers.ts';
import { ServedDrawings } from './drawings.ts';
import type { ServeChoice } from './options.ts';

export interface ServedChoice extends ServeChoice, Sampling {
  readonly weights: string;
  readonly storage: WeightStorage;
}

export interface ServedModel {
  readonly hash: string;
  /** Absent where the tokenizer has no conversations. */
  readonly answers: ServedAnswers | undefined;
  /** Absent where the preset names no image tokenizer. */
  readonly drawings: ServedDrawings | undefined;
  /** Calls `listener` with what the device has failed with: nothing will ever be answered again. */
  onBroken(listener: (error: unknown) => void): void;
  close(): Promise<void>;
}

/** Throws CANNOT_CONVERSE for a model that can neither draw nor answer. `note` is told what was made. */
export async function openServedModel(
  context: RunContext,
  choice: ServedChoice,
  note: (purpose: string) => void = () => {},
): Promise<ServedModel> {
  const { backbone, tokenizer } = context;
  const converses = ServedAnswers.isPossible(tokenizer);
  const draws = context.has('imageTokenizer');
  if (!converses && !draws) throw cannotConverse();
  const looks = converses && backbone.vision !== undefined && choice.pictures > 0;
  const model: OpenModel = await openModel(context, choice, {
    // A request may want a rationale where others draw without.
    text: true,
    image: draws,
    looks,
  });
  note('weights');
  const { parameters: weights, hash } = model;
  const products = await openProducts(context.device, choice.precision, context.log);
  const workspace = model.workspace.with(products);
  const parts = { workspace, backbone, tokenizer, weights };
  const answers = converses ? await ServedAnswers.open(parts, choice) : undefined;
  note('answers');
  const { imageTokenizer } = draws ? context : { imageTokenizer: undefined };
  const drawings = imageTokenizer && (await ServedDrawings.open({ ...parts, imageTokenizer }, choice));
  note('drawings');
  return {
    hash,
    answers,
    drawings,
    onBroken: (listener) => {
      answers?.sampler.onBroken(listener);
      drawings?.sampler.onBroken(listener);
    },
    close: async () => {
      await answers?.close();
      await drawings?.close();
      products?.close();
      model.close();
    },
  };
}
