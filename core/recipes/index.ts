/** The recipes that come with reasongen, registered like any plugin's. */
import { definePlugin } from '../plugin.ts';
import { askRecipe } from './ask.ts';
import { evaluatePictures } from './evaluate-pictures.ts';
import { evaluateRecipe } from './evaluate.ts';
import { generateRecipe } from './generate.ts';
import { grpo } from './grpo/grpo.ts';
import { reconstruct } from './codec/reconstruct.ts';
import { sft } from './sft/sft.ts';
import { trainCodec } from './codec/train-codec.ts';

export default definePlugin({
  name: 'recipes',
  provides: [trainCodec, sft, grpo, evaluateRecipe, evaluatePictures, generateRecipe, askRecipe, reconstruct],
});
