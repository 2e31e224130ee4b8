/** What recipes that only draw will need: a model, a sampler and an image tokenizer, made as the run makes them. */
import type { WeightStorage } from '../weights/parameters.ts';
import type { Backbone } from '../contracts/backbone.ts';
import type { Plan, PlanContext, RunContext, Smaller } from '../contracts/recipe.ts';
import { sizeOf } from '../tensor/tensor.ts';
import type { Choosing } from './best-of.ts';
import { Drawer, type DrawerOptions, type Sampling } from './drawer.ts';
import { looksWithModel, reserveJudges } from '../judging/reserve.ts';
import { changesOf, MemoryAccount, planningRun, smallerValues } from '../models/memory-accounting.ts';
import { openModel } from '../models/open-model.ts';
import { narrowerStorages } from '../models/weights.ts';

export interface DrawingPlan {
  readonly weights: string;
  readonly storage: WeightStorage;
  readonly sampling: Sampling;
  readonly prompts: number;
  readonly samplesPerPrompt: number;
  readonly promptTokens: number;
  readonly choosing?: Choosing | undefined;
  readonly lines: readonly string[];
}

export async function planDrawing(context: PlanContext, plan: DrawingPlan): Promise<Plan> {
  const account = new MemoryAccount(context);
  const run = planningRun(context);
  const uses = { text: plan.sampling.rationale || looksWithModel(run), image: true };
  const model = await openModel(run, plan, uses);
  account.note('weights');
  await Drawer.open(run, model.parameters, model.workspace, plan);
  account.note('sampler');
  await planDecoding(run, plan);
  account.note('image tokenizer');
  await reserveJudges(run);
  account.note('judges');
  return account.plan([describeModel(context.backbone), ...plan.lines]);
}

/** Makes what decoding the pictures of a full batch takes. */
export async function planDecoding(
  { imageTokenizer }: Pick<RunContext, 'imageTokenizer'>,
  { prompts, samplesPerPrompt, choosing }: Pick<DrawerOptions, 'prompts' | 'samplesPerPrompt' | 'choosing'>,
): Promise<void> {
  const codes = new Array<number>(imageTokenizer.grid.rows * imageTokenizer.grid.columns).fill(0);
  await imageTokenizer.decode(Array.from({ length: prompts * samplesPerPrompt * (choosing?.count ?? 1) }, () => codes));
}

/** Makes what encoding so many pictures at once takes. */
export async function planEncoding(
  { imageTokenizer }: Pick<RunContext, 'imageTokenizer'>,
  count: number,
): Promise<void> {
  const { width, height } = imageTokenizer.imageSize;
  const blank = { width, height, data: new Uint8Array(width * height * 3) };
  await imageTokenizer.encode(Array.from({ length: count }, () => blank));
}

/** `janus-nano: 1.41 M parameters, 6 layers, width 128` */
export function describeModel(backbone: Backbone): string {
  const parameters = backbone.parameters.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  return `${backbone.name}: ${(parameters / 1e6).toFixed(2)} M parameters, ${backbone.layers} layers, width ${backbone.hiddenSize}`;
}

/** Fewer pictures at once, which changes no picture; then weights in fewer bits as well, which rounds them. */
export function smallerDrawing<Choice extends { readonly batch: number; readonly storage: WeightStorage }>(
  choice: Choice,
  plan: (context: PlanContext, choice: Choice) => Promise<Plan>,
): Smaller[] {
  const batches = smallerValues(choice.batch).map((batch) => ({ ...choice, batch }));
  const narrow = narrowerStorages(choice.storage).map((storage) => ({ ...choice, batch: 1, storage }));
  return [...batches, ...narrow].map((smaller) => ({
    change: changesOf(choice, smaller, ['storage', 'batch']),
    plan: (context) => plan(context, smaller),
  }));
}
