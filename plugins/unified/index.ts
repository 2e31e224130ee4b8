/** Backbones with one vocabulary for text and image codes; vocabularies come from the tokenizers of the preset. */
import { defineBackbone, definePlugin, z, type Backbone, type Scope } from '../../core/plugin.ts';
import { unifiedBackbone } from './backbone.ts';

const sizes = z.strictObject({
  hidden: z.number().int().positive().describe('width of the residual stream'),
  layers: z.number().int().positive().describe('decoder layers'),
  heads: z.number().int().positive().describe('query heads'),
  keyValueHeads: z
    .number()
    .int()
    .positive()
    .optional()
    .describe('key/value heads, a divisor of heads; heads by default'),
  headDimension: z
    .number()
    .int()
    .positive()
    .multipleOf(2)
    .max(512)
    .optional()
    .describe('width of a head; hidden / heads by default'),
  mlp: z.number().int().positive().describe('inner width of the SwiGLU'),
  ropeTheta: z.number().positive().default(10000).describe('base of the rotary positions'),
  normEpsilon: z.number().positive().default(1e-6).describe('epsilon of every RMSNorm'),
  queryKeyNorm: z.boolean().default(true).describe('normalize every query and key head before the rotation'),
});

type Options = z.output<typeof sizes>;

/** What the heads must satisfy beyond each number by itself. */
function refuseHeads({ hidden, heads, keyValueHeads, headDimension }: Options, context: z.RefinementCtx): void {
  const issue = (path: string, message: string): void => context.addIssue({ code: 'custom', path: [path], message });
  if (headDimension === undefined && (hidden / heads) % 2 !== 0)
    issue('heads', `hidden / heads is ${hidden / heads}; it must be an even number, or give headDimension`);
  if (keyValueHeads !== undefined && heads % keyValueHeads !== 0)
    issue('keyValueHeads', `${keyValueHeads} does not divide the ${heads} heads`);
}

async function create(name: string, options: Options, scope: Scope): Promise<Backbone> {
  const tokenizer = await scope.get('tokenizer');
  const images = await scope.get('imageTokenizer');
  return unifiedBackbone(name, {
    ...options,
    keyValueHeads: options.keyValueHeads ?? options.heads,
    textVocabulary: tokenizer.vocabularySize,
    imageVocabulary: images.vocabularySize,
  });
}

const nano = {
  hidden: 128,
  layers: 6,
  heads: 4,
  keyValueHeads: 2,
  mlp: 336,
  ropeTheta: 10000,
  normEpsilon: 1e-6,
  queryKeyNorm: true,
};

export default definePlugin({
  name: 'unified',
  provides: [
    defineBackbone({
      name: 'unified',
      summary: 'decoder of any size with one table and one head over text tokens and image codes',
      options: sizes.superRefine(refuseHeads),
      needs: ['tokenizer', 'imageTokenizer'],
      create: (options, scope) => create('unified', options, scope),
    }),
    defineBackbone({
      name: 'unified-nano',
      summary: 'the smallest of the unified family: width 128, 6 layers, 4 heads over 2 key/value heads',
      options: z.strictObject({}),
      needs: ['tokenizer', 'imageTokenizer'],
      create: (_options, scope) => create('unified-nano', nano, scope),
    }),
  ],
});
