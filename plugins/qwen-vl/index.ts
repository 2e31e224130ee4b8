/** Qwen2.5-VL and Qwen3-VL (dense): a backbone that looks at pictures of any size and writes text, and its tokenizer; their text models as well. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  defineBackbone,
  definePlugin,
  defineTokenizer,
  inputFile,
  ReasongenError,
  z,
  type Backbone,
  type Scope,
  type Tokenizer,
} from '../../core/plugin.ts';
import { qwenBackbone } from './backbone.ts';
import { readChatLayout } from './chat.ts';
import { parseQwenConfig, readQwenConfig, type Family, type QwenConfig } from './config.ts';
import { publishedRules, readPictureRules, type PictureRules } from './pictures.ts';
import { publishedConfigs, publishedNames } from './published-sizes.ts';
import { formats } from './published.ts';
import { bytesTokenizer, qwenTokenizer } from './tokenizer.ts';

const pixels = () => z.number().int().positive().optional();

const options = z
  .strictObject({
    checkpoint: inputFile()
      .optional()
      .describe(
        'folder of the model: config.json, preprocessor_config.json or processor_config.json, and the weights; config.json alone is enough to plan',
      ),
    sizes: z
      .enum(publishedNames)
      .optional()
      .describe('a published model by its name instead: to plan, and to measure with random weights, without any file'),
    minPixels: pixels().describe("pixels a picture is enlarged to at least; the model's own limit by default"),
    maxPixels: pixels().describe(
      "pixels a picture is shrunk to at most, 784 (Qwen2.5-VL) or 1024 (Qwen3-VL) to a vector; the model's own limit by default, which lets a picture take 16384 vectors",
    ),
  })
  .refine(({ checkpoint, sizes }) => (checkpoint === undefined) !== (sizes === undefined), {
    message: 'give either checkpoint or sizes',
  })
  .refine(({ minPixels = 1, maxPixels = Infinity }) => minPixels <= maxPixels, {
    message: 'minPixels is above maxPixels',
    path: ['minPixels'],
  });

async function open(given: z.output<typeof options>, scope: Scope): Promise<Backbone> {
  const { config, known, folder, place } = sizesOf(given);
  const { vocabularySize } = await scope.get('tokenizer');
  if (vocabularySize > config.text.vocabulary) {
    throw new ReasongenError({
      code: 'OTHER_SIZES',
      message: `the tokenizer has ids up to ${vocabularySize - 1}; this model has ${config.text.vocabulary} rows of text`,
      place,
      hint: "name the model's own tokenizer.json",
      exitCode: 2,
    });
  }
  const { minPixels, maxPixels } = given;
  const rules = known !== undefined && {
    ...known,
    minPixels: minPixels ?? Math.min(known.minPixels, maxPixels ?? Infinity),
    maxPixels: maxPixels ?? Math.max(known.maxPixels, minPixels ?? 0),
  };
  const published = { format: formats[config.family], ...(folder !== undefined && { folder }) };
  return { ...qwenBackbone('qwen-vl', config, rules || undefined), published };
}

interface FoundSizes {
  readonly config: QwenConfig;
  /** Of models that look. */
  readonly known: PictureRules | undefined;
  readonly folder?: string;
  /** Stands for the sizes in errors. */
  readonly place: string;
}

function sizesOf({ checkpoint, sizes = 'qwen2.5-vl-3b' }: z.output<typeof options>): FoundSizes {
  if (checkpoint === undefined) {
    const config = parseQwenConfig(publishedConfigs[sizes], sizes);
    const known = config.vision === undefined ? undefined : publishedRules[config.family];
    return { config, known, place: `the published sizes of ${sizes}` };
  }
  const folder = statSync(checkpoint).isDirectory() ? checkpoint : dirname(checkpoint);
  const place = join(folder, 'config.json');
  const config = readQwenConfig(place);
  const known = config.vision === undefined ? undefined : readPictureRules(folder, config.family, config.vision);
  return { config, known, folder, place };
}

const tokenizerOptions = z.strictObject({
  folder: inputFile()
    .optional()
    .describe(
      'folder of the model: tokenizer.json, and the chat template where it has one; ChatML is taken where it has none. Without a folder every byte is a token, which does to plan and to measure',
    ),
  system: z
    .string()
    .optional()
    .describe("in front of conversations; the template's own by default, which has none for Qwen3-VL"),
});

/** Without a template the system message is the published one of the model's class. Where only the sizes are there, bytes are tokens. */
async function createTokenizer({ folder, system }: z.output<typeof tokenizerOptions>): Promise<Tokenizer> {
  if (folder === undefined)
    return bytesTokenizer(await readChatLayout(folder, { system, absentSystem: systemMessages['qwen2.5-vl'] }));
  const { family } = readQwenConfig(join(folder, 'config.json'));
  const layout = await readChatLayout(folder, { system, absentSystem: systemMessages[family] });
  const file = join(folder, 'tokenizer.json');
  return !existsSync(file) && hasNoWeights(folder) ? bytesTokenizer(layout) : qwenTokenizer(file, layout);
}

function hasNoWeights(folder: string): boolean {
  return !readdirSync(folder).some((name) => /\.(safetensors|bin|pt|pth)$/.test(name));
}

const systemMessages: Readonly<Partial<Record<Family, string>>> = { 'qwen2.5-vl': 'You are a helpful assistant.' };

export default definePlugin({
  name: 'qwen-vl',
  formats: Object.values(formats),
  provides: [
    defineTokenizer({
      name: 'qwen',
      summary: "tokenizer.json of a Qwen-VL model; conversations in the layout of the model's own chat template",
      options: tokenizerOptions,
      create: createTokenizer,
    }),
    defineBackbone({
      name: 'qwen-vl',
      summary:
        'Qwen2.5-VL or Qwen3-VL (dense): looks at pictures of any size and writes text, or a text model of Qwen2, 2.5 or 3; sizes from config.json',
      options,
      needs: ['tokenizer'],
      create: open,
    }),
  ],
});
