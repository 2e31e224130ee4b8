/** Weights from a source into a set, piece by piece: host memory stays at a few pieces whatever the size of the model. */
import type { SourceEntry, WeightSource } from '../contracts/weight-source.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import type { Device } from '../gpu/device.ts';
import { elementBytes, sizeOf, type Tensor } from '../tensor/tensor.ts';
import type { WeightLocation } from './layout.ts';
import { WeightEncoder, floatBytes, isFloatType, largestStored, type Encoded } from './encoding.ts';

export interface LoadWeightsOptions {
  /** Which parameters the source must hold; all unless told. The others keep their values. */
  readonly only?: (name: string) => boolean;
  /** Finite values that the storage cannot hold: an error (default), or clamped and counted in a warning. */
  readonly onOverflow?: 'error' | 'warn';
  /** NaN and infinity: an error (default), or kept and counted in a warning. */
  readonly onNotFinite?: 'error' | 'warn';
  readonly warn?: (message: string) => void;
  /** Bytes of the source read so far, and in all. */
  readonly progress?: (done: number, total: number) => void;
  /** Most bytes of one read, and of the values made of it; 64 MiB unless told. */
  readonly pieceBytes?: number;
}

export interface LoadReport {
  readonly tensors: number;
  /** As they lie in the source. */
  readonly bytes: number;
  readonly clamped: number;
  readonly notFinite: number;
}

/** A range of a weight that lies in one buffer: elements `first` … `first + count - 1` of it. */
export interface StoredRange {
  readonly first: number;
  readonly count: number;
  /** Flat, of the storage's type. */
  readonly values: Tensor;
  readonly scales: Tensor | undefined;
}

export interface LoadTarget {
  readonly device: Device;
  readonly places: ReadonlyMap<string, WeightLocation>;
  ranges(place: WeightLocation): StoredRange[];
}

const defaultPiece = 64 * 2 ** 20;

/** Elements of a piece are a multiple: whole words and whole groups of codes. */
const granularity = 4096;

export async function loadWeights(
  target: LoadTarget,
  source: WeightSource,
  options: LoadWeightsOptions,
): Promise<LoadReport> {
  const { device } = target;
  const pieceBytes = Math.max(granularity * 8, options.pieceBytes ?? defaultPiece);
  const only = options.only ?? (() => true);
  refuseMisfits(misfits(target.places, source.entries, only), source.origin);
  const wanted = [...target.places].filter(([name]) => only(name));
  const total = wanted.reduce(
    (sum, [name, { spec }]) => sum + sizeOf(spec.shape) * bytesOf(source.entries.get(name)),
    0,
  );
  const largest = Math.max(1, ...wanted.map(([, { spec }]) => sizeOf(spec.shape)));
  const encoder = new WeightEncoder(
    Math.min(Math.ceil(largest / granularity) * granularity, Math.floor(pieceBytes / 4)),
  );
  let done = 0;
  let unsettled = 0;
  let clamped = 0;
  let notFinite = 0;
  for (const [name, place] of wanted) {
    const entry = source.entries.get(name);
    if (entry === undefined || !isFloatType(entry.type)) throw new RangeError('unreachable: the entries were checked');
    const width = floatBytes[entry.type];
    const most = Math.floor(pieceBytes / Math.max(4, width) / granularity) * granularity;
    const counted = { clamped: 0, notFinite: 0, notes: [] as string[] };
    for (const range of target.ranges(place)) {
      for (let start = 0; start < range.count; start += most) {
        const count = Math.min(most, range.count - start);
        const first = range.first + start;
        const bytes = await source.read(name, first, count);
        if (bytes.byteLength !== count * width)
          throw new RangeError(`${source.origin} gave ${bytes.byteLength} bytes of ${name} for ${count} elements`);
        const encoded = encoder.encode(bytes, entry.type, place.type);
        checkLoaded(encoded, name, first, place, source.origin, options);
        noteLosses(counted, encoded, first);
        writeRange(device, range, start, encoded);
        done += bytes.byteLength;
        unsettled += encoded.bytes.byteLength;
        options.progress?.(done, total);
        // Dawn keeps what was written until the queue has run: without a wait the whole model would gather on the host.
        if (unsettled >= pieceBytes) {
          await device.settle();
          unsettled = 0;
        }
      }
    }
    if (counted.notes.length > 0) options.warn?.(`weight "${name}" of ${source.origin}: ${describe(counted, place)}`);
    clamped += counted.clamped;
    notFinite += counted.notFinite;
  }
  await device.settle();
  return { tensors: wanted.length, bytes: done, clamped, notFinite };
}

/** `start`: in elements of the range; a multiple of `granularity`. */
export function writeRange(device: Device, range: StoredRange, start: number, { bytes, scales }: Encoded): void {
  const { values } = range;
  if (!('buffer' in values.memory)) throw new RangeError(`${values.name} is not a weight`);
  device.gpu.queue.writeBuffer(
    values.memory.buffer,
    values.memory.offset + start * elementBytes(values.type),
    bytes.buffer,
    bytes.byteOffset,
    bytes.byteLength,
  );
  if (scales === undefined) return;
  if (range.scales === undefined || !('buffer' in range.scales.memory))
    throw new RangeError(`${values.name} has no scales`);
  const { buffer, offset } = range.scales.memory;
  const perScale = range.count / sizeOf(range.scales.shape);
  device.gpu.queue.writeBuffer(
    buffer,
    offset + (start / perScale) * 4,
    scales.buffer,
    scales.byteOffset,
    scales.byteLength,
  );
}

/** Everything that does not fit, in the order of the model; then what the model does not know. */
export function misfits(
  places: ReadonlyMap<string, WeightLocation>,
  entries: ReadonlyMap<string, Pick<SourceEntry, 'shape'> & { readonly type?: SourceEntry['type'] }>,
  only: (name: string) => boolean,
): string[] {
  const problems: string[] = [];
  for (const [name, { spec }] of places) {
    if (!only(name)) continue;
    const given = entries.get(name);
    if (given === undefined) problems.push(`missing: ${name} [${spec.shape}]`);
    else if (given.shape.join() !== spec.shape.join())
      problems.push(`${name} is [${given.shape}], the model needs [${spec.shape}]`);
    else if (given.type !== undefined && !isFloatType(given.type))
      problems.push(`${name} holds ${given.type}, not weights`);
  }
  for (const name of entries.keys()) if (!places.has(name)) problems.push(`unexpected: ${name}`);
  return problems;
}

export function refuseMisfits(problems: readonly string[], origin: string): void {
  if (problems.length === 0) return;
  const shown = problems.slice(0, 20);
  if (problems.length > shown.length) shown.push(`… and ${problems.length - shown.length} more`);
  throw new ReasongenError({
    code: 'CHECKPOINT_SHAPE',
    message: `${origin} does not fit this model:\n  ${shown.join('\n  ')}`,
    hint: 'use the backbone and sizes the checkpoint was made with (see its preset), or another checkpoint',
    exitCode: exitCodes.badPreset,
  });
}

/** Throws for the first value that may not be lost. `first`: index of the piece's first element. */
export function checkLoaded(
  { lost }: Encoded,
  name: string,
  first: number,
  { type }: Pick<WeightLocation, 'type'>,
  origin: string,
  options: LoadWeightsOptions,
): void {
  if (lost.firstNotFinite !== undefined && options.onNotFinite !== 'warn') {
    throw new ReasongenError({
      code: 'WEIGHT_NOT_FINITE',
      message: `weight "${name}" holds ${lost.firstNotFinite.value} at element ${first + lost.firstNotFinite.index}`,
      place: origin,
      hint: 'the file is damaged or its training diverged: use another checkpoint',
      exitCode: exitCodes.badPreset,
    });
  }
  if (lost.firstClamped !== undefined && options.onOverflow !== 'warn') {
    throw new ReasongenError({
      code: 'VALUE_TOO_LARGE',
      message: `weight "${name}" holds ${lost.firstClamped.value} at element ${first + lost.firstClamped.index}; ${type} stores values up to ±${largestStored(type)}`,
      place: origin,
      hint: type === 'f16' ? 'store weights as bf16 or f32' : 'use another checkpoint',
      exitCode: exitCodes.badPreset,
    });
  }
}

interface Counted {
  clamped: number;
  notFinite: number;
  readonly notes: string[];
}

function noteLosses(counted: Counted, { lost }: Encoded, first: number): void {
  const { firstClamped, firstNotFinite } = lost;
  if (firstClamped !== undefined && counted.clamped === 0)
    counted.notes.push(`the first too large one is ${firstClamped.value} at element ${first + firstClamped.index}`);
  if (firstNotFinite !== undefined && counted.notFinite === 0)
    counted.notes.push(
      `the first that is not finite is ${firstNotFinite.value} at element ${first + firstNotFinite.index}`,
    );
  counted.clamped += lost.clamped;
  counted.notFinite += lost.notFinite;
}

function describe({ clamped, notFinite, notes }: Counted, { type }: WeightLocation): string {
  const counts = [
    ...(clamped > 0 ? [`${clamped} values clamped to what ${type} holds (±${largestStored(type)})`] : []),
    ...(notFinite > 0 ? [`${notFinite} values are NaN or infinite`] : []),
  ];
  return [...counts, ...notes].join('; ');
}

function bytesOf(entry: SourceEntry | undefined): number {
  return entry !== undefined && isFloatType(entry.type) ? floatBytes[entry.type] : 0;
}
