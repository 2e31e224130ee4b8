/** Pictures to the vectors a backbone reads in their place. */
import type { Program } from '../autograd/program.ts';
import type { Workspace } from '../autograd/workspace.ts';
import { Tape } from '../autograd/tape.ts';
import type { Backbone, PictureSize, Vision, Weights } from '../contracts/backbone.ts';
import type { Image } from '../contracts/image.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import { decodePicture, pictureSize } from '../io/image.ts';
import { readBounded } from '../io/text.ts';
import { createPictureInputs, pictureKey, type DevicePictures } from '../nn/picture-inputs.ts';
import { dimension, sizeOf, type Tensor } from '../tensor/tensor.ts';

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

/** A picture file as the model looks at it. Throws BAD_PICTURE and PICTURE_SHAPE. */
export async function readPicture(path: string, vision: Vision): Promise<Image> {
  const bytes = await readBounded(path, 'reading a picture');
  const image = await decodePicture(bytes).catch((cause: unknown) => {
    throw badPicture(path, cause);
  });
  return vision.fit(image);
}

/** An empty picture of the size at which the picture of a file is looked at, to plan with. Throws as `readPicture` does of what the file's first bytes tell. */
export async function blankPicture(path: string, vision: Vision): Promise<Image> {
  const size = await pictureSize(path).catch((cause: unknown) => {
    throw badPicture(path, cause);
  });
  return blank(vision.fittedSize(size));
}

function badPicture(path: string, cause: unknown): ReasongenError {
  return new ReasongenError({
    code: 'BAD_PICTURE',
    message: `the picture cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
    place: path,
    hint: 'give a PNG, JPEG, WebP, GIF, TIFF or AVIF file',
    exitCode: exitCodes.badPreset,
    cause,
  });
}

function blank({ width, height }: PictureSize): Image {
  return { width, height, data: new Uint8Array(width * height * 3) };
}

/** A recorded program for pictures of one shape. */
interface Look {
  readonly inputs: DevicePictures;
  readonly seen: Tensor;
  readonly program: Program;
}

/** Shapes of pictures whose programs are kept. */
const keptShapes = 4;

/** The part of a model that looks, one picture at a time: memory does not grow with their number. */
export class Sight {
  readonly vision: Vision;
  private readonly workspace: Workspace;
  private readonly weights: Weights;
  /** By shape, the one used last at the end. */
  private readonly looks = new Map<string, Look>();

  constructor(workspace: Workspace, vision: Vision, weights: Weights) {
    this.workspace = workspace;
    this.vision = vision;
    this.weights = weights;
  }

  /**
   * f32 [vectors, vision.vectorSize] on the device, of fitted pictures in their order: the first rows of `room`, or a tensor of its own, which the
   * caller destroys.
   */
  async look(pictures: readonly Image[], room?: Tensor): Promise<Tensor> {
    const { device } = this.workspace;
    const { vectorSize } = this.vision;
    const counts = pictures.map((picture) => this.vision.span(picture).vectors);
    const shape = [counts.reduce((sum, count) => sum + count, 0), vectorSize];
    const features = new Float32Array(sizeOf(shape));
    let next = 0;
    for (const picture of pictures) {
      const { program, seen } = await this.prepare(picture);
      program.run();
      const values = await device.readFloats(seen);
      features.set(values, next);
      next += values.length;
    }
    if (room === undefined) return device.tensor('pictures', shape, 'f32', features);
    const filled = { ...room, shape };
    device.write(filled, features);
    return filled;
  }

  /** Room for the vectors of so many pictures of the largest size, and the program that looks at one; the caller destroys it. */
  async reserve(pictures: number): Promise<Tensor> {
    const { device } = this.workspace;
    const { largest, vectorSize } = this.vision;
    const { seen } = await this.prepare(blank(largest));
    device.reserveReadBack(sizeOf(seen.shape) * 4);
    return device.tensor('pictures', [pictures * dimension(seen, 0), vectorSize]);
  }

  close(): void {
    for (const look of this.looks.values()) this.forget(look);
    this.looks.clear();
  }

  /** The program for pictures of this shape, with this one as its input. */
  private async prepare(picture: Image): Promise<Look> {
    const arrays = this.vision.layOut([picture]);
    const key = pictureKey(arrays);
    const known = this.looks.get(key);
    const look = known ?? (await this.record(arrays));
    known?.inputs.fill(arrays);
    this.looks.delete(key);
    this.looks.set(key, look);
    const [oldest] = this.looks;
    if (this.looks.size > keptShapes && oldest !== undefined) {
      this.looks.delete(oldest[0]);
      this.forget(oldest[1]);
    }
    return look;
  }

  private async record(arrays: ReturnType<Vision['layOut']>): Promise<Look> {
    const inputs = createPictureInputs(this.workspace.device, arrays);
    const tape = new Tape(this.workspace);
    const seen = tape.output(this.vision.features(tape, this.weights, inputs));
    return { inputs, seen, program: await tape.finish('look at a picture') };
  }

  private forget({ inputs, seen, program }: Look): void {
    program.dispose();
    inputs.close();
    this.workspace.device.destroyTensor(seen);
  }
}

/** As `Sight.look`, for those who look once. */
export async function lookAt(
  workspace: Workspace,
  vision: Vision,
  weights: Weights,
  pictures: readonly Image[],
): Promise<Tensor> {
  const sight = new Sight(workspace, vision, weights);
  try {
    return await sight.look(pictures);
  } finally {
    sight.close();
  }
}
