/** The tensors of the device that hold a packed batch. */
import type { Backbone, PackedTokens } from '../contracts/backbone.ts';
import type { Device } from '../gpu/device.ts';
import { at } from '../tensor/at.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { PackedShape } from './packed-shape.ts';
import type { PackedBatch } from './packing.ts';

/** Batches with the same key fit the same program. */
export function shapeKey(batch: PackedShape): string {
  return `${batch.textIds.length} ${batch.imageCodes.length} ${batch.featureRows.length} ${batch.text.count} ${batch.image.count}${batch.image.unconditionalRows === undefined ? '' : ' guided'}`;
}

/** Device tensors that hold a packed batch; refilled between replays. */
export interface PackedInputs {
  readonly tokens: PackedTokens;
  readonly textTargets: { readonly rows: Tensor; readonly ids: Tensor };
  readonly imageTargets: { readonly rows: Tensor; readonly ids: Tensor; readonly unconditionalRows?: Tensor };
  fill(batch: PackedBatch): void;
  close(): void;
}

/** What a batch must know of the backbone it is for; one whose positions have one axis, and no pictures, need not be told. */
type PackedFor = Pick<Backbone, 'hiddenSize' | 'positionAxes' | 'vision'>;

/** Feature vectors, where a batch has any, are written by whoever makes them. */
export function createPackedInputs(device: Device, shape: PackedShape, backbone?: PackedFor): PackedInputs {
  const axes = backbone?.positionAxes ?? 1;
  const made: Tensor[] = [];
  const words = (name: string, ...size: number[]): Tensor => {
    const tensor = device.tensor(name, size, 'u32');
    made.push(tensor);
    return tensor;
  };
  const tensors = {
    textIds: words('text ids', shape.textIds.length),
    textRows: words('text rows', shape.textIds.length),
    imageCodes: words('image codes', shape.imageCodes.length),
    imageRows: words('image rows', shape.imageCodes.length),
    featureRows: words('feature rows', shape.featureRows.length),
    positions: axes === 1 ? words('positions', shape.count) : words('positions', shape.count, axes),
    segmentStart: words('segment start', shape.count),
    segmentEnd: words('segment end', shape.count),
  };
  const textTargets = {
    rows: words('text target rows', shape.text.count),
    ids: words('text targets', shape.text.count),
  };
  const isGuided = shape.image.unconditionalRows !== undefined;
  const imageTargets = {
    rows: words('image target rows', shape.image.count),
    ids: words('image targets', shape.image.count),
    ...(isGuided && { unconditionalRows: words('unconditional rows', shape.image.count) }),
  };
  const { imageCodes, imageRows, featureRows, ...textOnly } = tensors;
  const hasImages = shape.imageCodes.length > 0;
  const features =
    shape.featureRows.length === 0 ? undefined : createFeatures(device, shape.featureRows.length, backbone);
  if (features !== undefined) made.push(features);
  return {
    tokens: {
      count: shape.count,
      ...textOnly,
      ...(hasImages ? { imageCodes, imageRows } : {}),
      ...(features === undefined ? {} : { features, featureRows }),
    },
    textTargets,
    imageTargets,
    fill(batch) {
      for (const [name, tensor] of Object.entries(tensors))
        device.write(tensor, name === 'positions' ? positionsOf(batch, axes) : batch[name as keyof typeof tensors]);
      device.write(textTargets.rows, batch.text.rows);
      device.write(textTargets.ids, batch.text.ids);
      device.write(imageTargets.rows, batch.image.rows);
      device.write(imageTargets.ids, batch.image.ids);
      if (imageTargets.unconditionalRows !== undefined)
        device.write(imageTargets.unconditionalRows, batch.image.unconditionalRows ?? new Uint32Array(0));
    },
    close: () => made.forEach((tensor) => device.destroyTensor(tensor)),
  };
}

function createFeatures(device: Device, count: number, backbone: PackedFor | undefined): Tensor {
  if (backbone === undefined) throw new RangeError('a batch with features needs to know whose they are');
  return device.tensor('features', [count, backbone.vision?.vectorSize ?? backbone.hiddenSize]);
}

/** Where there is only text, all axes agree. */
function positionsOf({ positions, positionAxes }: PackedBatch, axes: number): Uint32Array {
  if (positionAxes === axes) return positions;
  if (positionAxes !== 1) throw new RangeError(`positions of ${positionAxes} axes for a backbone of ${axes}`);
  return Uint32Array.from({ length: positions.length * axes }, (_, index) => at(positions, Math.floor(index / axes)));
}
