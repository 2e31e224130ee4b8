/** What a plugin that computes on the device imports beside `plugin.ts`: tensors, tape, parameters, ops. */
export {
  ParameterSet,
  blockSize,
  type Arena,
  type LoadOptions,
  type LoadReport,
  type ParameterOptions,
  type StorageChoice,
  type WeightStorage,
} from './weights/parameters.ts';
export {
  AdaptedWeights,
  adapterNames,
  adapterSpecs,
  isAdapterName,
  type AdapterOptions,
  type AdapterUse,
} from './weights/adapters.ts';
export { Program, runAll } from './autograd/program.ts';
export { Workspace } from './autograd/workspace.ts';
export { grid, type Launch } from './autograd/launch.ts';
export { Tape } from './autograd/tape.ts';
export type {
  Backbone,
  KeyValueCache,
  PackedTokens,
  ParameterSpec,
  PrefillTarget,
  Weights,
} from './contracts/backbone.ts';
export type { OpenOptimizer, Optimizer } from './contracts/optimizer.ts';
export { Device, openDevice, type Scalar } from './gpu/device.ts';
export {
  decoderHidden,
  decoderParameters,
  initialStd as initialSpread,
  workingHeads,
  type DecoderShape,
} from './nn/decoder.ts';
export { decoderStep } from './nn/decoder-step.ts';
export { embedPacked } from './nn/embed-packed.ts';
export { lastLayer, perceptron, perceptronParameters, type Perceptron } from './nn/perceptron.ts';
export { siglipVision, type SiglipSizes } from './nn/siglip.ts';
export { embedding } from './ops/embedding.ts';
export { gelu, type GeluForm } from './ops/gelu.ts';
export { gradientNorm } from './ops/gradient-norm.ts';
export { languageHead, type LanguageHeadOptions } from './ops/language-head.ts';
export { layerNorm } from './ops/layer-norm.ts';
export { batchedProduct } from './ops/batched-product.ts';
export { linear } from './ops/linear.ts';
export { mergeRows, weightRows, type PlacedRows } from './ops/rows.ts';
export { newtonSchulz } from './ops/newton-schulz.ts';
export {
  byteLength,
  dimension,
  elementBytes,
  reshape,
  sizeOf,
  type ElementType,
  type Tensor,
} from './tensor/tensor.ts';
export { fingerprint } from './io/fingerprint.ts';
export { encodePng } from './io/image.ts';
export { ConfigReader } from './io/config-reader.ts';
export { originalVqConfig, portVqConfig, publishedVqConfig } from './io/vq-config.ts';
export { readTokenizerFile, type TokenizerFile } from './io/tokenizer-file.ts';
export { readSafetensorsFile } from './io/safetensors.ts';
export { readFloatTensors } from './io/weight-files/floats.ts';
export { openWeightSource } from './io/weight-files/open.ts';
export { filtered, layered } from './io/weight-files/pieces.ts';
export { renamed } from './io/weight-files/renamed.ts';
export type { SourceEntry, StoredType, WeightSource } from './contracts/weight-source.ts';
export { philox } from './tensor/philox.ts';
export { nameTable, type NameRule } from './tensor/name-rules.ts';
export { packPictures, unpackPictures } from './nn/pictures.ts';
export { fromVqCheckpoint, toVqCheckpoint, vqNames } from './nn/vq-checkpoint.ts';
export { codebookName, nanoCodec, vqCodec, type VqCodec, type VqCodecConfig } from './nn/vq-codec.ts';
export {
  assignCodes,
  lookUpCodes,
  normalizeRows,
  quantizeToCodebook as quantize,
  type QuantizeOptions,
  type CodebookOutput as Quantized,
} from './ops/codebook.ts';
export { conv2d, type Conv2dOptions } from './ops/conv2d.ts';
export { groupNorm, type GroupNormOptions } from './ops/group-norm.ts';
export { reconstructionLoss, type ReconstructionOptions } from './ops/reconstruction-loss.ts';
export { silu } from './ops/silu.ts';
export { upsample, upsampleConv2d } from './ops/upsample.ts';
export { decodePicture, decodeSquare, pictureFormat } from './io/image.ts';
