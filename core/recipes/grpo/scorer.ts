/** Log-probabilities of drawings under weights that are not trained here: the reference, or the policy before an update. */
import type { Weights } from '../../contracts/backbone.ts';
import type { RunContext } from '../../contracts/recipe.ts';
import type { Workspace } from '../../autograd/workspace.ts';
import type { Scalar } from '../../gpu/device.ts';
import type { PackedShape } from '../../nn/packed-shape.ts';
import { TokenPrograms, tokenKinds, type TokenKind, type TokenProgramOptions } from '../../nn/token-program.ts';
import { byCompletion, packCompletions, type Completion } from './completions.ts';
import type { GrpoOptions } from './options.ts';
import { gatherPacked } from '../../ranks/packed.ts';
import { shareOf } from '../../ranks/shares.ts';
import { drawingsAtOnce } from './sizes.ts';

/** How tokens are scored: the sampler's settings, so that both describe one distribution. */
export function scoringOptions(
  context: Pick<RunContext, 'device' | 'backbone'>,
  choice: GrpoOptions,
): Pick<TokenProgramOptions, 'backbone' | 'temperature' | 'clamp' | 'guidance'> {
  const { device, backbone } = context;
  // A greedy sampler (temperature 0) has no distribution: its tokens carry no loss, and are scored at 1 to be measured.
  const temperature: Record<TokenKind, Scalar> = {
    text: device.scalar('text temperature', choice.textTemperature || 1),
    image: device.scalar('image temperature', choice.imageTemperature || 1),
  };
  const guidance =
    choice.guidance === 1
      ? undefined
      : { weight: device.scalar('guidance', choice.guidance), detach: choice.detachUnconditional };
  return { backbone, temperature, clamp: choice.logitClamp, guidance };
}

export class GrpoScorer {
  private readonly context: RunContext;
  private readonly choice: GrpoOptions;
  private readonly programs: TokenPrograms;

  constructor(context: RunContext, choice: GrpoOptions, workspace: Workspace, weights: Weights, name: string) {
    this.context = context;
    this.choice = choice;
    this.programs = new TokenPrograms({ name, workspace, parameters: weights, ...scoringOptions(context, choice) });
  }

  /** One list per drawing, a value per token after its prompt; every rank scores its share and gets all. */
  async score(completions: readonly Completion[]): Promise<Float32Array[]> {
    const { communicator } = this.context;
    const own = await this.scoreHere(shareOf(completions, communicator));
    return (await gatherPacked(communicator, own)).flat();
  }

  private async scoreHere(completions: readonly Completion[]): Promise<Float32Array[]> {
    const atOnce = drawingsAtOnce(this.choice, this.context.communicator);
    const results: Float32Array[] = [];
    for (let start = 0; start < completions.length; start += atOnce) {
      const part = completions.slice(start, start + atOnce);
      const batch = packCompletions(part, this.context.tokenizer, this.choice);
      const { program, scored } = await this.programs.prepare(batch);
      program.run();
      const present = tokenKinds.filter((kind) => scored[kind] !== undefined);
      const values = await this.context.device.read(present.flatMap((kind) => scored[kind] ?? []));
      const byKind = {
        text: undefined,
        image: undefined,
        ...Object.fromEntries(present.map((kind, index) => [kind, values[index] as Float32Array])),
      };
      results.push(...byCompletion(batch, part, byKind));
    }
    return results;
  }

  /** Makes the program of a shape now. */
  reserve(shape: PackedShape): Promise<void> {
    return this.programs.reserve(shape);
  }

  close(): Promise<void> {
    return this.programs.close();
  }
}
