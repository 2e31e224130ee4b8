/** Pictures to the vectors a backbone reads in their place. */
import type { Workspace } from '../autograd/workspace.ts';
import { Tape } from '../autograd/tape.ts';
import type { Backbone, Vision, Weights } from '../contracts/backbone.ts';
import type { Image } from '../contracts/image.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import { decodePicture } from '../io/image.ts';
import { fitSquare } from '../io/resize.ts';
import { readBounded } from '../io/text.ts';
import { createPictureInputs, patchesOf } from '../nn/siglip.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** What stands beside a picture that is no square: the mean of the published preprocessing, in bytes. */
const gray = [127, 127, 127] as const;

/** Throws when the model has no part that looks. */
export function visionOf(backbone: Backbone): Vision {
  if (backbone.vision !== undefined) return backbone.vision;
  throw new ReasongenError({
    code: 'CANNOT_LOOK',
    message: `${backbone.name} has no part that looks at pictures`,
    hint: 'use a model that was trained to: backbone: { use: janus-checkpoint, checkpoint: FOLDER }',
    exitCode: exitCodes.badPreset,
  });
}

/** A picture file, brought to the form the model looks at. */
export async function readPicture(path: string, vision: Vision): Promise<Image> {
  const bytes = await readBounded(path, 'reading a picture');
  try {
    return fitSquare(await decodePicture(bytes), vision.imageSize, gray);
  } catch (cause) {
    throw new ReasongenError({
      code: 'BAD_PICTURE',
      message: `the picture cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      place: path,
      hint: 'give a PNG, JPEG, WebP, GIF, TIFF or AVIF file',
      exitCode: exitCodes.badPreset,
      cause,
    });
  }
}

/**
 * f32 [pictures · vision.tokens, hiddenSize] on the device; the caller destroys it. One picture at a time: memory does not grow with
 * their number.
 */
export async function lookAt(
  workspace: Workspace,
  vision: Vision,
  hiddenSize: number,
  weights: Weights,
  pictures: readonly Image[],
): Promise<Tensor> {
  const { device } = workspace;
  const inputs = createPictureInputs(device, vision, 1);
  const tape = new Tape(workspace);
  const seen = tape.output(vision.features(tape, weights, inputs));
  const program = await tape.finish('look at a picture');
  const features = new Float32Array(pictures.length * vision.tokens * hiddenSize);
  for (const [index, picture] of pictures.entries()) {
    device.write(inputs.patches, patchesOf(vision, [picture]));
    program.run();
    features.set(await device.readFloats(seen), index * vision.tokens * hiddenSize);
  }
  program.dispose();
  for (const tensor of [seen, inputs.patches, inputs.places, inputs.segmentStart, inputs.segmentEnd])
    device.destroyTensor(tensor);
  return device.tensor('pictures', [pictures.length * vision.tokens, hiddenSize], 'f32', features);
}
