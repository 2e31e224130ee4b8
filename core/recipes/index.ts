/** The recipes that come with reasongen, registered like any plugin's. */
import { inProcess } from '../components.ts';
import { defineCommunicator, defineExecutor, definePlugin, single, z } from '../plugin.ts';
import { askRecipe } from './ask.ts';
import { evaluatePictures } from './evaluate-pictures.ts';
import { evaluateRecipe } from './evaluate.ts';
import { generateRecipe } from './generate.ts';
import { grpo } from './grpo/grpo.ts';
import { reconstruct } from './codec/reconstruct.ts';
import { serveRecipe } from './serve.ts';
import { sft } from './sft/sft.ts';
import { trainCodec } from './codec/train-codec.ts';

const inProcessExecutor = defineExecutor({
  name: 'in-process',
  summary: 'drawings are computed on the device of the run',
  options: z.strictObject({}),
  create: () => inProcess,
});

const singleCommunicator = defineCommunicator({
  name: 'single',
  summary: 'one process trains alone',
  options: z.strictObject({}),
  create: () => single,
});

export default definePlugin({
  name: 'recipes',
  provides: [
    trainCodec,
    sft,
    grpo,
    evaluateRecipe,
    evaluatePictures,
    generateRecipe,
    askRecipe,
    serveRecipe,
    reconstruct,
    inProcessExecutor,
    singleCommunicator,
  ],
});
