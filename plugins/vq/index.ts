/** Image tokenizers made of the VQ codec: any trained or published one, one of random weights, and the embedded one of the nano world. */
import { fileURLToPath } from 'node:url';
import { defineImageTokenizer, definePlugin, inputFile, precisions, z, type Scope } from '../../core/plugin.ts';
import { codecFromCheckpoint, codecFromFile, randomCodec, type VqSource } from './source.ts';
import { vqTokenizer } from './tokenizer.ts';

const nanoFile = new URL('./nano/codec.safetensors', import.meta.url);
const count = () => z.number().int().positive();

/** The published sizes by default. */
const sizes = z.strictObject({
  imageSize: count().default(384).describe('height and width of a picture in pixels'),
  baseChannels: count().multipleOf(32).default(128).describe('channels of the finest level'),
  multipliers: z
    .array(count())
    .min(1)
    .default([1, 1, 2, 2, 4])
    .describe('channels of every level in units of baseChannels, finest first'),
  blocks: count().default(2).describe('residual blocks of an encoder level; a decoder level has one more'),
  latentChannels: count().multipleOf(4).default(256).describe('channels between codes and network'),
  embeddingDimension: count().multipleOf(4).max(32).default(8).describe('length of a code vector'),
  codes: count().default(16384).describe('codes'),
});

const precision = z
  .enum(precisions)
  .default('f32')
  .describe(
    'how convolutions are computed when codes are drawn as pictures: f32, or on tensor cores, as f16 or with each operand in two f16 (f32-split, near f32); codes of pictures are made in f32',
  );

const options = z
  .strictObject({
    checkpoint: inputFile()
      .optional()
      .describe('folder of a published model: sizes from its config.json, weights under either naming'),
    weights: inputFile(['random'])
      .optional()
      .describe(
        'a train-codec run or its codec.safetensors, or a file of a published model; random: seeded random weights of the given sizes',
      ),
    config: inputFile()
      .optional()
      .describe(
        'config.json of the published model that weights belongs to; a trained codec carries its sizes with it',
      ),
    sizes: sizes.optional().describe('for random weights; the published sizes by default'),
    precision,
  })
  .superRefine(({ checkpoint, weights, config, sizes: given }, context) => {
    const issue = (path: string, message: string): void => context.addIssue({ code: 'custom', path: [path], message });
    if ((checkpoint === undefined) === (weights === undefined))
      issue('checkpoint', 'give either checkpoint or weights');
    if (config !== undefined && (weights === undefined || weights === 'random'))
      issue('config', 'belongs to a file of weights');
    if (given !== undefined && weights !== 'random') issue('sizes', 'are for random weights; files say their own');
  });

export default definePlugin({
  name: 'vq',
  provides: [
    defineImageTokenizer({
      name: 'vq',
      summary: 'VQ-16 codec of any size, from a codec.safetensors, from a published model, or of random weights',
      options,
      create: async (chosen, scope) => vqTokenizer(await sourceOf(chosen, scope), chosen.precision, scope),
    }),
    defineImageTokenizer({
      name: 'vq-nano',
      summary: 'the embedded codec of the nano world: 48 x 48 pictures, 6 x 6 codes of 256',
      options: z.strictObject({ precision }),
      create: async (chosen, scope) =>
        vqTokenizer(await codecFromFile(fileURLToPath(nanoFile)), chosen.precision, scope),
    }),
  ],
});

function sourceOf(
  { checkpoint, weights, config, sizes: given }: z.output<typeof options>,
  scope: Scope,
): Promise<VqSource> | VqSource {
  if (checkpoint !== undefined) return codecFromCheckpoint(checkpoint);
  if (weights !== undefined && weights !== 'random') return codecFromFile(weights, config);
  const { blocks, multipliers, ...rest } = given ?? sizes.parse({});
  const levels = { encoderBlocks: multipliers.map(() => blocks), decoderBlocks: multipliers.map(() => blocks + 1) };
  return randomCodec({ ...rest, multipliers, ...levels, attention: 'coarsest', groups: 32 }, scope.seed);
}
