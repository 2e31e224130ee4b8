/** Captioned pictures from parquet, JSON Lines with pictures beside them, or WebDataset archives: the data of supervised fine-tuning. */
import { defineDataset, definePlugin, inputFile, ReasongenError, z, type Dataset } from '../../core/plugin.ts';
import { openFiles, textsOfFile } from './files.ts';
import { CaptionSource } from './source.ts';
import { promptFields, rationaleFields } from './texts.ts';

const whole = z.number().int().nonnegative();

/** Those of the published data set of ReasonGen-R1, Franklin0/ReasonGen-R1-SFT-230k. */
const columns = z
  .strictObject({
    image: z.string().default('image').describe('picture: a data URI, bytes, or the path of a file beside the data'),
    prompt: z.string().default('brief_caption').describe('prompt where none is augmented'),
    rationale: z.string().default('detailed_caption').describe('what is written before the picture'),
    augmentedPrompts: z.string().default('augmented_prompts').describe('struct of other prompts'),
    augmentedRationales: z.string().default('augmented_cots').describe('struct of other rationales'),
  })
  .prefault({});

const options = z.strictObject({
  path: inputFile([], textsOfFile).describe(
    'a .parquet, .jsonl or .tar file, a folder of such files, or hub:datasets/OWNER/NAME for a data set in the Hugging Face cache',
  ),
  include: z.string().optional().describe('only files with this in their path, such as train-'),
  columns: columns.describe('names of the columns'),
  prompts: z
    .array(z.enum(promptFields))
    .default([])
    .describe('draw the prompt from these fields of augmentedPrompts; the prompt column when empty'),
  rationales: z
    .array(z.enum(rationaleFields))
    .default([])
    .describe('fields of augmentedRationales that may stand in for the rationale'),
  rationaleShare: z
    .number()
    .min(0)
    .max(1)
    .default(0.5)
    .describe('share of visits whose rationale is one of `rationales`'),
  crop: z
    .enum(['random', 'center'])
    .default('random')
    .describe('which square of a picture is cut out before it is resized'),
  shuffleWindow: whole
    .default(2000)
    .describe('rows shuffled together, blocks of files having been shuffled before; 0 keeps the order of the files'),
  heldOut: z
    .number()
    .min(0)
    .max(0.5)
    .default(0)
    .describe('share of the rows that training never sees, for recipe.validation'),
  shard: z
    .strictObject({
      index: whole.default(0).describe('from 0'),
      count: z.number().int().positive().default(1).describe('readers in all'),
    })
    .refine(({ index, count }) => index < count, 'index must be below count')
    .prefault({})
    .describe('this reader takes every count-th row: one reader for each rank'),
});

const captionData = defineDataset({
  name: 'caption-data',
  summary: 'captioned pictures from parquet, JSON Lines or WebDataset files, with prompt and rationale augmentation',
  options,
  needs: ['imageTokenizer'],
  create: async (choice, scope): Promise<Dataset> => {
    const { imageSize } = await scope.get('imageTokenizer');
    const { path } = choice;
    const open = async (part: 'training' | 'heldout'): Promise<CaptionSource | undefined> => {
      const isHeldOut = part === 'heldout';
      if (isHeldOut && choice.heldOut === 0) return undefined;
      const files = await openFiles(path, choice.include, choice.columns);
      const source = new CaptionSource(files, {
        size: imageSize.width,
        crop: isHeldOut ? 'center' : choice.crop,
        imageColumn: choice.columns.image,
        texts: {
          columns: choice.columns,
          promptFields: choice.prompts,
          rationaleFields: choice.rationales,
          rationaleShare: choice.rationaleShare,
        },
        shuffleWindow: isHeldOut ? 0 : choice.shuffleWindow,
        heldOut: { share: choice.heldOut, isRead: isHeldOut },
        shard: choice.shard,
      });
      scope.onDispose(() => source.close());
      if (source.rows === 0)
        throw new ReasongenError({
          code: 'NO_DATA',
          message: 'the files hold no rows',
          place: path,
          hint: 'check dataset.path and dataset.shard',
          exitCode: 2,
        });
      scope.log.info(`${source.rows} ${isHeldOut ? 'held-out ' : ''}rows in ${files.length} file(s) of ${path}`);
      return source;
    };
    return { imageSize, tasks: ['caption'], open };
  },
});

export default definePlugin({ name: 'caption-data', provides: [captionData] });
