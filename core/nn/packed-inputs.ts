/** The tensors of the device that hold a packed batch. */
import type { PackedTokens } from '../contracts/backbone.ts';
import type { Device } from '../gpu/device.ts';
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

/** `featureWidth`: the width of feature vectors, needed where a batch has any; they are written by whoever makes them. */
export function createPackedInputs(device: Device, shape: PackedShape, featureWidth?: number): PackedInputs {
  const made: Tensor[] = [];
  const words = (name: string, count: number): Tensor => {
    const tensor = device.tensor(name, [count], 'u32');
    made.push(tensor);
    return tensor;
  };
  const tensors = {
    textIds: words('text ids', shape.textIds.length),
    textRows: words('text rows', shape.textIds.length),
    imageCodes: words('image codes', shape.imageCodes.length),
    imageRows: words('image rows', shape.imageCodes.length),
    featureRows: words('feature rows', shape.featureRows.length),
    positions: words('positions', shape.count),
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
    shape.featureRows.length === 0 ? undefined : createFeatures(device, shape.featureRows.length, featureWidth);
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
      for (const [name, tensor] of Object.entries(tensors)) device.write(tensor, batch[name as keyof typeof tensors]);
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

function createFeatures(device: Device, count: number, width: number | undefined): Tensor {
  if (width === undefined) throw new RangeError('a batch with features needs their width');
  return device.tensor('features', [count, width]);
}
