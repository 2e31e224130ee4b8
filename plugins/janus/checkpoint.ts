/** A Janus model sized by the config.json of its folder alone, in either of its two forms. */
import { join } from 'node:path';
import { ReasongenError, type Backbone, type Scope } from '../../core/plugin.ts';
import { janusBackbone, type JanusSizes } from './backbone.ts';
import { readJanusConfig, type JanusConfig } from './config.ts';
import { janusFormat } from './published.ts';

export function sizesOf({ decoder, image, vision }: JanusConfig): JanusSizes {
  const { hidden: width, alignerLayers: alignerDepth, imageSize, patchSize, layers, heads, mlp, normEpsilon } = vision;
  return {
    ...decoder,
    imageVocabulary: image.vocabulary,
    codeDimension: image.dimension,
    codeAlignerLayers: image.alignerLayers,
    vision: { imageSize, patchSize, width, layers, heads, mlp, normEpsilon, alignerDepth },
  };
}

/** Refuses a tokenizer or a codec whose ids the model has no rows for. */
export async function openJanusCheckpoint(folder: string, scope: Scope): Promise<Backbone> {
  const place = join(folder, 'config.json');
  const config = readJanusConfig(place);
  const refuse = (message: string, hint: string): never => {
    throw new ReasongenError({ code: 'OTHER_SIZES', message, place, hint, exitCode: 2 });
  };
  const tokenizer = await scope.get('tokenizer');
  if (tokenizer.vocabularySize > config.decoder.textVocabulary) {
    refuse(
      `the tokenizer has ids up to ${tokenizer.vocabularySize - 1}; this model has ${config.decoder.textVocabulary} rows of text`,
      "name the model's own tokenizer.json",
    );
  }
  // A model that only answers needs no codec.
  const [images] = await scope.getAll('imageTokenizer');
  if (images !== undefined) {
    const { rows, columns } = images.grid;
    const found = `${images.vocabularySize} codes of ${images.embeddingDimension}, ${rows} x ${columns} of them a picture`;
    const { vocabulary, dimension } = config.image;
    const side = config.codec.imageSize / 2 ** (config.codec.multipliers.length - 1);
    if (
      images.vocabularySize !== vocabulary ||
      images.embeddingDimension !== dimension ||
      rows !== side ||
      columns !== side
    ) {
      refuse(
        `the image tokenizer has ${found}; this model has ${vocabulary} codes of ${dimension}, ${side} x ${side} of them a picture`,
        "name the model's own codec: imageTokenizer: { use: vq, checkpoint: FOLDER }",
      );
    }
  }
  return { ...janusBackbone('janus-checkpoint', sizesOf(config)), published: { format: janusFormat, folder } };
}
