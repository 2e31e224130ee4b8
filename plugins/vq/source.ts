/** Where the weights of a codec come from: a train-codec run, a published model under either naming, or a seed. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ParameterSet,
  codebookName,
  fingerprint,
  fromVqCheckpoint,
  openWeightSource,
  publishedVqConfig,
  readFloatTensors,
  refuseOtherCodec,
  renamed,
  vqCodec,
  vqNames,
  type Device,
  type ParameterSpec,
  type VqCodec,
  type VqCodecConfig,
  type WeightSource,
} from '../../core/compute.ts';
import { ReasongenError } from '../../core/plugin.ts';

/** A codec whose weights are read when a picture is first encoded or decoded, and only those of that direction. */
export interface VqSource {
  readonly codec: VqCodec;
  /** Content hash of the codec's weights. */
  readonly hash: string;
  /** f32 [codes · dimension], not normalized. */
  readonly codebook: Float32Array;
  /** How 0 … 255 becomes a byte; the nearest one unless told. */
  readonly toByte?: (value: number) => number;
  /** A filled set of some of the codec's parameters. */
  open(device: Device, specs: readonly ParameterSpec[]): Promise<ParameterSet>;
}

/** In front of the names of the port. */
const prefix = 'model.vqmodel.';

/** A file written by `train-codec`, or the folder of such a run; any file of a published model with its config.json. */
export async function codecFromFile(from: string, config?: string): Promise<VqSource> {
  const path = (await stat(from)).isDirectory() ? join(from, 'codec.safetensors') : from;
  const source = await openWeightSource(path);
  await source.close();
  const codec = vqCodec(config === undefined ? ownSizes(source.metadata['codec'], path) : await publishedSizes(config));
  return { ...(await codecOf(codec, path)), hash: (await fingerprint(path)).sha256 };
}

/**
 * The codec inside a published model: sizes from its config.json, weights from its files.
 * The hash is of the codec alone, under the port's names: the two layouts of one model hold the same codec.
 */
export async function codecFromCheckpoint(folder: string): Promise<VqSource> {
  const config = join(folder, 'config.json');
  if (!existsSync(config))
    throw new ReasongenError({
      code: 'CODEC_SIZES',
      message: 'there is no config.json in this folder',
      place: folder,
      hint: 'point to the folder of a published model',
      exitCode: 2,
    });
  const codec = vqCodec(await publishedSizes(config));
  const hash = createHash('sha256');
  const all = await readCodec(folder, () => true);
  for (const [name, { shape, data }] of [...all].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(`${name} ${shape.join(' ')}\n`);
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  // The published code cuts the fraction off.
  return { ...(await codecOf(codec, folder)), hash: hash.digest('hex'), toByte: Math.trunc };
}

/** Seeded random weights: for the memory and the speed of a codec without its file. */
export function randomCodec(config: VqCodecConfig, seed: number): VqSource {
  const codec = vqCodec(config);
  // Vectors of unit length on average; any will do, and the backbone must see the same ones.
  const codebook = Float32Array.from({ length: config.codes * config.embeddingDimension }, (_, index) =>
    Math.sin(index * 12.9898 + seed * 78.233),
  );
  return {
    codec,
    hash: `random:${seed}`,
    codebook,
    async open(device, specs) {
      const parameters = await ParameterSet.open(device, specs, { seed, initialize: 'device' });
      device.write(parameters.get(codebookName), codebook);
      return parameters;
    },
  };
}

async function codecOf(codec: VqCodec, path: string): Promise<Omit<VqSource, 'hash'>> {
  const isCodebook = (name: string): boolean => name === codebookName;
  const read = await readCodec(path, isCodebook, (entries) => refuseOtherCodec(codec, entries, path));
  const vectors = fromVqCheckpoint(codec, read).get(codebookName);
  if (vectors === undefined)
    throw new ReasongenError({
      code: 'CHECKPOINT_SHAPE',
      message: `there is no ${codebookName}: the file holds no codec`,
      place: path,
      exitCode: 2,
    });
  return {
    codec,
    codebook: vectors.data,
    async open(device, specs) {
      const wanted = new Set(specs.map(({ name }) => name));
      const parameters = new ParameterSet(device, specs, { seed: 0, initialize: 'none' });
      if (device.isPlanning) return parameters;
      try {
        parameters.load(fromVqCheckpoint(codec, await readCodec(path, (name) => wanted.has(name))), path);
      } catch (error) {
        parameters.close();
        throw error;
      }
      return parameters;
    },
  };
}

/**
 * Tensors of the codec in a file or folder, as they lie there, under the port's names; `keep` sees names without its prefix. `check` sees what
 * is there before anything of it is read.
 */
async function readCodec(
  path: string,
  keep: (name: string) => boolean,
  check: (entries: WeightSource['entries']) => void = () => {},
): Promise<Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>> {
  const source = renamed(await openWeightSource(path), vqNames, 'port');
  // A train-codec checkpoint holds bare names.
  const isBare = source.entries.has(codebookName);
  try {
    check(source.entries);
    return await readFloatTensors(source, (name) =>
      isBare ? keep(name) : name.startsWith(prefix) && keep(name.slice(prefix.length)),
    );
  } finally {
    await source.close();
  }
}

/** A file that `train-codec` has written says its sizes in its header. */
function ownSizes(text: string | undefined, path: string): VqCodecConfig {
  if (text === undefined) {
    throw new ReasongenError({
      code: 'CODEC_SIZES',
      message: 'the file does not say the sizes of its codec',
      place: path,
      hint: 'give imageTokenizer.checkpoint, the folder of the published model, or use the codec.safetensors of a train-codec run',
      exitCode: 2,
    });
  }
  return JSON.parse(text) as VqCodecConfig;
}

async function publishedSizes(path: string): Promise<VqCodecConfig> {
  let json: unknown;
  try {
    json = JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw new ReasongenError({
      code: 'CODEC_SIZES',
      message: 'the file is not JSON, or cannot be read',
      place: path,
      hint: 'name the config.json of the published model',
      exitCode: 2,
      cause,
    });
  }
  const sizes = publishedVqConfig(json, path);
  if (sizes !== undefined) return sizes;
  throw new ReasongenError({
    code: 'CODEC_SIZES',
    message: 'there is no vq_config and no gen_vision_config in this file',
    place: path,
    hint: 'name the config.json of the published model',
    exitCode: 2,
  });
}
