/** Groups that go from one step to the next, and into checkpoints: what training needs of them, no pictures. */
import type { Json } from '../../io/checkpoint.ts';
import type { Completion } from './completions.ts';

/** A group as it is trained on. */
export interface TrainedGroup {
  readonly completions: readonly Completion[];
}

/** Plain JSON; log-probabilities as the bytes they are. */
export function groupToJson({ completions }: TrainedGroup): Json {
  return completions.map(({ sequence, advantage, tokenWeights, step }) => {
    const { promptIds, rationaleIds, imageStartForced, codes, logProbability } = sequence;
    const bytes = Buffer.from(logProbability.buffer, logProbability.byteOffset, logProbability.byteLength).toString(
      'base64',
    );
    return {
      promptIds,
      rationaleIds,
      imageStartForced,
      codes,
      logProbability: bytes,
      advantage,
      step,
      ...(tokenWeights !== undefined && { tokenWeights }),
    };
  });
}

interface StoredCompletion extends Omit<Completion, 'sequence'>, Omit<Completion['sequence'], 'logProbability'> {
  readonly logProbability: string;
}

/** What `groupToJson` gave; the checkpoint it comes from has been verified. */
export function groupFromJson(json: Json): TrainedGroup {
  const completions = (json as unknown as readonly StoredCompletion[]).map(
    ({ advantage, tokenWeights, step, logProbability, ...sequence }): Completion => {
      const bytes = Buffer.from(logProbability, 'base64');
      const values = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
      return {
        sequence: { ...sequence, logProbability: values },
        advantage,
        step,
        ...(tokenWeights !== undefined && { tokenWeights }),
      };
    },
  );
  return { completions };
}
