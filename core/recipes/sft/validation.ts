/** The loss on examples that training never sees: the same ones every time, encoded once. */
import type { RunContext } from '../../contracts/recipe.ts';
import type { Sequence } from '../../nn/packing.ts';
import { ExampleStream } from './examples.ts';
import type { SftLoss } from './loss.ts';
import type { SftOptions } from './options.ts';
import { shareOf } from '../../ranks/shares.ts';

export class SftValidation {
  private readonly choice: SftOptions;
  private readonly loss: SftLoss;
  private readonly sequences: readonly Sequence[];

  private constructor(choice: SftOptions, loss: SftLoss, sequences: readonly Sequence[]) {
    this.choice = choice;
    this.loss = loss;
    this.sequences = sequences;
  }

  /** Undefined where the preset wants none. */
  static async open(context: RunContext, choice: SftOptions, loss: SftLoss): Promise<SftValidation | undefined> {
    if (choice.validation === undefined) return undefined;
    const stream = await ExampleStream.open(
      context,
      { ...choice, promptDropout: 0, promptOnlyDropout: 0, rationaleOnlyDropout: 0 },
      'heldout',
    );
    const picked = await stream.next(
      Math.min(choice.validation.examples, stream.distinct ?? choice.validation.examples),
    );
    const own = shareOf(picked, context.communicator);
    const sequences = await stream.sequences(
      own,
      own.map(({ item }) => item),
    );
    stream.close();
    return new SftValidation(choice, loss, sequences);
  }

  /** Numbers for the metrics of a step, when it is one of those that measure. */
  async after(step: number): Promise<Record<string, number>> {
    const { steps, validation } = this.choice;
    if (validation === undefined || (step % validation.every !== 0 && step !== steps)) return {};
    const measured = await this.loss.measure(this.sequences);
    return Object.fromEntries(Object.entries(measured).map(([name, value]) => [`validation/${name}`, value]));
  }
}
