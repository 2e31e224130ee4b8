/** What must agree for two machines to draw the same bits. */
import { createHash } from 'node:crypto';
import type { Backbone } from '../contracts/backbone.ts';
import type { DrawIdentity } from '../contracts/executor.ts';
import type { Tokenizer } from '../contracts/tokenizer.ts';
import type { Device } from '../gpu/device.ts';
import { describeProgram } from '../io/software.ts';

/** Which of several equal kernels an adapter takes is no part of it: they give the same bits. */
export function drawIdentity(device: Device, backbone: Backbone, tokenizer: Tokenizer): DrawIdentity {
  const { versions, commit } = describeProgram();
  const { description, features, subgroupMinSize, subgroupMaxSize } = device.adapter;
  const { name, hiddenSize, layers, heads, keyValueHeads, headDimension, textVocabulary, imageVocabulary } = backbone;
  const sizes = { hiddenSize, layers, heads, keyValueHeads, headDimension, textVocabulary, imageVocabulary };
  const weights = backbone.parameters.map((spec) => [spec.name, spec.shape]);
  return {
    program: `reasongen ${versions['reasongen']}${commit === undefined ? '' : ` (${commit})`}, webgpu ${versions['webgpu']}`,
    adapter: `${description} (${features.toSorted().join(' ')}; subgroups ${subgroupMinSize} to ${subgroupMaxSize})`,
    model: `${name} ${shortHash([name, sizes, weights])}`,
    tokenizer: shortHash([tokenizer.hash, tokenizer.special]),
  };
}

function shortHash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16);
}
