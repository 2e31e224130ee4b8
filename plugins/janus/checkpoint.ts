/** From the sizes in a config.json to those of the backbone. */
import type { JanusSizes } from './backbone.ts';
import type { JanusConfig } from './config.ts';

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
