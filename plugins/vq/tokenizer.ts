/** A VQ codec as an image tokenizer: batches of pictures and codes through two recorded programs. */
import {
  Tape,
  Workspace,
  assignCodes,
  codebookName,
  lookUpCodes,
  normalizeRows,
  openProducts,
  packPictures,
  reshape,
  unpackPictures,
  type Device,
  type MatrixProducts,
  type ParameterSet,
  type Program,
  type Tensor,
  type VqCodec,
} from '../../core/compute.ts';
import { ReasongenError, type Image, type ImageTokenizer, type Precision, type Scope } from '../../core/plugin.ts';
import type { VqSource } from './source.ts';

/** Pictures per run of a program; the smaller one serves what is left over. */
const batchSizes = [4, 32] as const;

/** `precision`: of drawing codes back. Codes are made in f32: checkpoints and kept codes are bound to them by the codec's hash alone. */
export function vqTokenizer(
  source: VqSource,
  precision: Precision,
  { onDevice, log }: Pick<Scope, 'onDevice' | 'log'>,
): ImageTokenizer {
  const { codec, codebook, hash } = source;
  const { gridSize, config } = codec;
  const positions = gridSize ** 2;
  const opened = onDevice(
    async (device) => new OpenCodec(device, source, await openProducts(device, precision, log)),
    async (open) => {
      await last;
      await open.close();
    },
  );
  // One batch at a time: the programs' inputs and outputs are shared.
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <Result>(work: (open: OpenCodec) => Promise<Result>): Promise<Result> => {
    const result = Promise.all([opened(), last]).then(([open]) => work(open));
    last = result.catch(() => undefined);
    return result;
  };
  return {
    grid: { rows: gridSize, columns: gridSize },
    imageSize: { width: config.imageSize, height: config.imageSize },
    vocabularySize: config.codes,
    embeddingDimension: config.embeddingDimension,
    hash,
    encode: (images) => inTurn((open) => open.encode(images)),
    decode: (codes) => {
      codes.forEach((picture, index) => refuseBadCodes(picture, index, positions, config.codes));
      return inTurn((open) => open.decode(codes));
    },
    codebook: () => normalized(codebook, config.embeddingDimension),
  };
}

/** A direction of the codec: its weights on the device once they are needed, and the programs made so far, by pictures. */
interface Direction {
  readonly record: typeof recordEncoder;
  /** What its weights are called. */
  readonly parts: readonly string[];
  readonly workspace: Workspace;
  weights?: Promise<ParameterSet>;
  readonly programs: Map<number, Recorded>;
}

class OpenCodec {
  private readonly device: Device;
  private readonly codec: VqCodec;
  private readonly source: VqSource;
  private readonly workspace: Workspace;
  private readonly products: MatrixProducts | undefined;
  private readonly encoder: Direction;
  private readonly decoder: Direction;
  private readonly made: Tensor[] = [];

  constructor(device: Device, source: VqSource, products: MatrixProducts | undefined) {
    this.device = device;
    this.codec = source.codec;
    this.source = source;
    this.products = products;
    this.workspace = new Workspace(device);
    this.encoder = {
      record: recordEncoder,
      parts: ['encoder.', 'quant_conv.', codebookName],
      workspace: this.workspace,
      programs: new Map(),
    };
    this.decoder = {
      record: recordDecoder,
      parts: ['decoder.', 'post_quant_conv.', codebookName],
      workspace: this.workspace.with(products),
      programs: new Map(),
    };
  }

  async encode(images: readonly Image[]): Promise<number[][]> {
    const { gridSize, config } = this.codec;
    const result: number[][] = [];
    for (let start = 0; start < images.length;) {
      const part = images.slice(start, start + this.batchFor(images.length - start));
      const size = this.batchFor(part.length);
      const { program, input, output } = await this.program(this.encoder, size);
      this.device.write(input, packPictures(part, config.imageSize, size));
      program.run();
      const codes = await this.device.readWords(output);
      part.forEach((_, index) => result.push([...codes.subarray(index * gridSize ** 2, (index + 1) * gridSize ** 2)]));
      start += part.length;
    }
    return result;
  }

  async decode(codes: readonly (readonly number[])[]): Promise<Image[]> {
    const { gridSize, config } = this.codec;
    const result: Image[] = [];
    for (let start = 0; start < codes.length;) {
      const part = codes.slice(start, start + this.batchFor(codes.length - start));
      const size = this.batchFor(part.length);
      const { program, input, output } = await this.program(this.decoder, size);
      const words = new Uint32Array(size * gridSize ** 2);
      words.set(part.flat());
      this.device.write(input, words);
      program.run();
      result.push(
        ...unpackPictures(await this.device.readFloats(output), config.imageSize, part.length, this.source.toByte),
      );
      start += part.length;
    }
    return result;
  }

  async close(): Promise<void> {
    await this.device.settle();
    for (const { programs, weights } of [this.encoder, this.decoder]) {
      for (const { program } of programs.values()) program.dispose();
      (await weights)?.close();
    }
    for (const tensor of this.made) this.device.destroyTensor(tensor);
    this.workspace.close();
    this.products?.close();
  }

  /** The smallest batch that holds `count` pictures, or the largest that memory allows. */
  private batchFor(count: number): number {
    const { imageSize, baseChannels } = this.codec.config;
    const most = Math.max(
      1,
      Math.floor(this.device.limits.maxStorageBufferBindingSize / (imageSize ** 2 * baseChannels * 4)),
    );
    const wanted = batchSizes.find((size) => size >= count) ?? batchSizes[1];
    return Math.min(wanted, most);
  }

  private async program(direction: Direction, size: number): Promise<Recorded> {
    const known = direction.programs.get(size);
    if (known !== undefined) return known;
    const { parts, record, workspace } = direction;
    direction.weights ??= this.source.open(
      this.device,
      this.codec.parameters.filter(({ name }) => parts.some((part) => name.startsWith(part))),
    );
    const recorded = await record(this.codec, await direction.weights, workspace, size);
    direction.programs.set(size, recorded);
    this.made.push(...recorded.owned);
    return recorded;
  }
}

interface Recorded {
  readonly program: Program;
  readonly input: Tensor;
  readonly output: Tensor;
  /** To be destroyed with the codec. */
  readonly owned: readonly Tensor[];
}

/** Pictures f32 [size, H, W, 4] to codes u32 [size · grid²]. */
async function recordEncoder(
  codec: VqCodec,
  parameters: ParameterSet,
  workspace: Workspace,
  size: number,
): Promise<Recorded> {
  const { imageSize } = codec.config;
  const { device } = workspace;
  const tape = new Tape(workspace);
  const input = device.tensor('pictures to encode', [size, imageSize, imageSize, 4]);
  const segments = codec.segments(device, size);
  const latent = codec.encode(tape, parameters, input, segments);
  const output = tape.output(
    assignCodes(tape, normalizeRows(tape, latent).normal, normalizeRows(tape, parameters.get(codebookName)).normal),
  );
  return {
    program: await tape.finish(`encode ${size}`),
    input,
    output,
    owned: [input, output, ...Object.values(segments ?? {})],
  };
}

/** Codes u32 [size · grid²] to pictures f32 [size, H, W, 4]. */
async function recordDecoder(
  codec: VqCodec,
  parameters: ParameterSet,
  workspace: Workspace,
  size: number,
): Promise<Recorded> {
  const { gridSize, config } = codec;
  const { device } = workspace;
  const tape = new Tape(workspace);
  const input = device.tensor('codes to decode', [size * gridSize ** 2], 'u32');
  const segments = codec.segments(device, size);
  const vectors = lookUpCodes(tape, input, normalizeRows(tape, parameters.get(codebookName)).normal);
  const output = tape.output(
    codec.decode(tape, parameters, reshape(vectors, [size, gridSize, gridSize, config.embeddingDimension]), segments),
  );
  return {
    program: await tape.finish(`decode ${size}`),
    input,
    output,
    owned: [input, output, ...Object.values(segments ?? {})],
  };
}

function refuseBadCodes(codes: readonly number[], index: number, positions: number, vocabulary: number): void {
  const bad = codes.find((code) => !Number.isInteger(code) || code < 0 || code >= vocabulary);
  if (codes.length === positions && bad === undefined) return;
  const what =
    bad === undefined
      ? `${codes.length} codes instead of ${positions}`
      : `the code ${bad}, not one of 0 … ${vocabulary - 1}`;
  throw new ReasongenError({ code: 'BAD_CODES', message: `picture ${index} has ${what}` });
}

function normalized(rows: Float32Array, size: number): Float32Array {
  const result = new Float32Array(rows.length);
  for (let start = 0; start < rows.length; start += size) {
    const row = rows.subarray(start, start + size);
    const length = Math.max(1e-12, Math.sqrt(row.reduce((sum, value) => sum + value * value, 0)));
    row.forEach((value, index) => (result[start + index] = value / length));
  }
  return result;
}
