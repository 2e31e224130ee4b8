/** Image tokenizers made of the VQ codec: any trained or published one, and the embedded one of the nano world. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fingerprint, fromVqCheckpoint, readSafetensorsFile, vqCodec, vqConfigOf, type VqCodecConfig } from '../../core/compute.ts';
import { ReasongenError, defineImageTokenizer, definePlugin, inputFile, z, type ImageTokenizer, type Scope } from '../../core/plugin.ts';
import { vqTokenizer, type VqWeights } from './tokenizer.ts';

const nanoFile = new URL('./nano/codec.safetensors', import.meta.url);

export default definePlugin({
  name: 'vq',
  provides: [
    defineImageTokenizer({
      name: 'vq',
      summary: 'VQ-16 codec of any size, from a codec.safetensors or from a published model',
      options: z.strictObject({
        weights: inputFile().describe('a train-codec run or its codec.safetensors, or a safetensors file of a published model'),
        config: inputFile().optional().describe('config.json of the published model; a trained codec carries its sizes with it'),
      }),
      create: ({ weights, config }, scope) => open(weights, config, scope),
    }),
    defineImageTokenizer({
      name: 'vq-nano',
      summary: 'the embedded codec of the nano world: 48 x 48 pictures, 6 x 6 codes of 256',
      options: z.strictObject({}),
      create: (_options, scope) => open(fileURLToPath(nanoFile), undefined, scope),
    }),
  ],
});

async function open(path: string, config: string | undefined, scope: Scope): Promise<ImageTokenizer> {
  const tokenizer = vqTokenizer(await readVqWeights(path, config), () => scope.device());
  scope.onDispose(() => tokenizer.close());
  return tokenizer;
}

/** Reads a codec without a device. A folder stands for the codec.safetensors of a train-codec run in it. */
export async function readVqWeights(from: string, config?: string): Promise<VqWeights> {
  const path = (await stat(from)).isDirectory() ? join(from, 'codec.safetensors') : from;
  const { tensors, metadata } = await readSafetensorsFile(path);
  const codec = vqCodec(config === undefined ? ownSizes(metadata['codec'], path) : vqConfigOf(await publishedSizes(config)));
  return { codec, values: fromVqCheckpoint(codec, tensors), hash: (await fingerprint(path)).sha256, origin: path };
}

/** A file that `train-codec` has written says its sizes in its header. */
function ownSizes(text: string | undefined, path: string): VqCodecConfig {
  if (text === undefined) {
    throw new ReasongenError({
      code: 'CODEC_SIZES',
      message: 'the file does not say the sizes of its codec',
      place: path,
      cure: 'give imageTokenizer.config, the config.json of the published model, or use the codec.safetensors of a train-codec run',
      exitCode: 2,
    });
  }
  return JSON.parse(text) as VqCodecConfig;
}

async function publishedSizes(path: string): Promise<Record<string, unknown>> {
  const parsed: unknown = JSON.parse(await readFile(path, 'utf8'));
  const sizes = typeof parsed === 'object' && parsed !== null && 'vq_config' in parsed ? parsed.vq_config : undefined;
  if (typeof sizes !== 'object' || sizes === null) {
    throw new ReasongenError({ code: 'CODEC_SIZES', message: 'there is no vq_config in this file', place: path, cure: 'name the config.json of the published model', exitCode: 2 });
  }
  return { ...sizes };
}
