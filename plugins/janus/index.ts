/** Backbones of the Janus class: of a published model's sizes, of any sizes, and nano, the smallest. */
import { defineBackbone, definePlugin, inputFile, z, type Backbone, type Scope } from '../../core/plugin.ts';
import { janusBackbone, type JanusSizes } from './backbone.ts';
import { openJanusCheckpoint } from './checkpoint.ts';
import { janusFormat } from './published.ts';

const count = () => z.number().int().positive();
const epsilon = () => z.number().positive().default(1e-6);

const visionSizes = z.strictObject({
  imageSize: count().describe('height and width of a picture in pixels'),
  patchSize: count().describe('height and width of a patch in pixels, a divisor of imageSize'),
  width: count().describe('width of the tower'),
  layers: count().describe('blocks of the tower'),
  heads: count().describe('heads of a block, a divisor of width'),
  mlp: count().describe("inner width of a block's perceptron"),
  normEpsilon: epsilon().describe('epsilon of every LayerNorm'),
  alignerDepth: count().default(2).describe('linear layers between tower and decoder'),
});

const sizes = z.strictObject({
  hidden: count().describe('width of the residual stream'),
  layers: count().describe('decoder layers'),
  heads: count().describe('query heads'),
  keyValueHeads: count().optional().describe('key/value heads, a divisor of heads; heads by default'),
  headDimension: count().multipleOf(2).max(512).optional().describe('width of a head; hidden / heads by default'),
  mlp: count().describe('inner width of the SwiGLU'),
  ropeTheta: z.number().positive().default(10000).describe('base of the rotary positions'),
  normEpsilon: epsilon().describe('epsilon of every RMSNorm'),
  textVocabulary: count()
    .optional()
    .describe(
      "rows of the text table and of the text head, at least as many as the tokenizer has ids; the tokenizer's own number by default",
    ),
  vision: visionSizes.optional().describe('the tower that looks at pictures; a model without one only draws'),
});

type Options = z.output<typeof sizes>;

/** What the sizes must satisfy beyond each number by itself. */
function refuseMisfits(
  { hidden, heads, keyValueHeads, headDimension, vision }: Options,
  context: z.RefinementCtx,
): void {
  const issue = (path: string[], message: string): void => context.addIssue({ code: 'custom', path, message });
  if (headDimension === undefined && (hidden / heads) % 2 !== 0)
    issue(['heads'], `hidden / heads is ${hidden / heads}; it must be an even number, or give headDimension`);
  if (keyValueHeads !== undefined && heads % keyValueHeads !== 0)
    issue(['keyValueHeads'], `${keyValueHeads} does not divide the ${heads} heads`);
  if (vision !== undefined && vision.imageSize % vision.patchSize !== 0)
    issue(['vision', 'patchSize'], `${vision.patchSize} does not divide the imageSize ${vision.imageSize}`);
  if (vision !== undefined && vision.width % vision.heads !== 0)
    issue(['vision', 'heads'], `${vision.heads} does not divide the width ${vision.width}`);
}

async function create(name: string, options: Options, scope: Scope): Promise<Backbone> {
  const tokenizer = await scope.get('tokenizer');
  const images = await scope.get('imageTokenizer');
  const complete: JanusSizes = {
    ...options,
    keyValueHeads: options.keyValueHeads ?? options.heads,
    textVocabulary: Math.max(options.textVocabulary ?? 0, tokenizer.vocabularySize),
    imageVocabulary: images.vocabularySize,
    codeDimension: images.embeddingDimension,
    codebook: images.codebook(),
  };
  return { ...janusBackbone(name, complete), published: { format: janusFormat } };
}

const nano = { hidden: 128, layers: 6, heads: 4, mlp: 336, ropeTheta: 10000, normEpsilon: 1e-6 };

export default definePlugin({
  name: 'janus',
  formats: [janusFormat],
  provides: [
    defineBackbone({
      name: 'janus',
      summary: 'Janus-Pro class decoder of any size: separate heads for text and image codes',
      options: sizes.superRefine(refuseMisfits),
      needs: ['tokenizer', 'imageTokenizer'],
      create: (options, scope) => create('janus', options, scope),
    }),
    defineBackbone({
      name: 'janus-checkpoint',
      summary: 'a published Janus model: every size from the config.json of its folder, both forms',
      options: z.strictObject({
        checkpoint: inputFile().describe('folder of the model: config.json, and the weights under either naming'),
      }),
      needs: ['tokenizer'],
      create: ({ checkpoint }, scope) => openJanusCheckpoint(checkpoint, scope),
    }),
    defineBackbone({
      name: 'janus-nano',
      summary: 'the smallest of the Janus class: width 128, 6 layers, 4 heads',
      options: z.strictObject({}),
      needs: ['tokenizer', 'imageTokenizer'],
      create: (_options, scope) => create('janus-nano', nano, scope),
    }),
  ],
});
