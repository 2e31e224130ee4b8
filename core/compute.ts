/**
 * What a plugin that computes on the device imports beside `plugin.ts`. An op takes the tape it records on, then tensors; its comment has formula, shapes and gradient.
 * Shapes are row-major, the last axis contiguous; values are f32 unless said; "+=" marks gradients of weights, which accumulate until the optimizer clears them.
 */

// Recording: tensors, the tape, programs, the device.
export {
  byteLength,
  dimension,
  elementBytes,
  reshape,
  sizeOf,
  type ElementType,
  type Tensor,
} from './tensor/tensor.ts';
export { Tape, type TapeOptions } from './autograd/tape.ts';
export { grid, type Launch } from './autograd/launch.ts';
export { Program, runAll } from './autograd/program.ts';
export { Workspace } from './autograd/workspace.ts';
export { Device, openDevice, type DeviceOptions, type Scalar } from './gpu/device.ts';

// Weights: parameters, adapters, optimizers.
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
export type { FlatParameters, OpenOptimizer, Optimizer } from './contracts/optimizer.ts';
export { gradientNorm } from './ops/gradient-norm.ts';
export { newtonSchulz } from './ops/newton-schulz.ts';

// A decoder block, op by op.
export { embedding } from './ops/embedding.ts';
export { embeddingBag } from './ops/embedding-bag.ts';
export { linear } from './ops/linear.ts';
export { rmsNorm } from './ops/rms-norm.ts';
export { layerNorm } from './ops/layer-norm.ts';
export { rotary, type RotaryAxes, type RotaryOptions } from './ops/rotary.ts';
export { attention, type AttentionOptions, type Segments } from './ops/attention.ts';
export {
  appendToCache,
  cachedAttention,
  copyCacheRows,
  prefillCache,
  rotaryPositions,
  turnIntoCache,
  type CacheColumns,
  type CachedAttentionOptions,
} from './ops/cached-attention.ts';
export { attentionWidth, resizeParts, rotaryBase, rotaryWidth } from './ops/heads.ts';
export { swiglu } from './ops/swiglu.ts';
export { swigluRows } from './ops/swiglu-rows.ts';
export { languageHead, type LanguageHeadOptions } from './ops/language-head.ts';
export { tokenLogProbability, type LogProbabilityOptions } from './ops/log-probability.ts';

// Elementwise ops, reductions, and whole rows.
export { add } from './ops/add.ts';
export { multiply, scale, weightedSum } from './ops/pointwise.ts';
export { gelu, type GeluForm } from './ops/gelu.ts';
export { silu } from './ops/silu.ts';
export { softmax } from './ops/softmax.ts';
export { meanAll, sumAll, sumRows } from './ops/reduce.ts';
export { addRows, gatherRows, mergeRows, weightRows, type PlacedRows } from './ops/rows.ts';
export { columnsOf, joinColumns } from './ops/columns.ts';
export { batchedProduct } from './ops/batched-product.ts';

// Products on tensor cores: a workspace carries them.
export { openProducts } from './matrix-trial.ts';
export type { MatrixProducts } from './gpu/matrix-products.ts';

// Pictures: ops of a codec.
export { conv2d, type Conv2dOptions } from './ops/conv2d.ts';
export { groupNorm, type GroupNormOptions } from './ops/group-norm.ts';
export { upsample, upsampleConv2d } from './ops/upsample.ts';
export {
  assignCodes,
  lookUpCodes,
  normalizeRows,
  quantizeToCodebook as quantize,
  type QuantizeOptions,
  type CodebookOutput as Quantized,
} from './ops/codebook.ts';
export { reconstructionLoss, type ReconstructionOptions } from './ops/reconstruction-loss.ts';

// Models: decoders, towers and codecs as functions of weights.
export type {
  Backbone,
  Head,
  KeyValueCache,
  PackedTokens,
  ParameterSpec,
  PictureArray,
  PictureInputs,
  PictureSpan,
  PictureSize,
  PrefillTarget,
  Vision,
  Weights,
} from './contracts/backbone.ts';
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
export { segmentArrays } from './nn/picture-inputs.ts';
export { packPictures, unpackPictures } from './nn/pictures.ts';
export { fromVqCheckpoint, refuseOtherCodec, toVqCheckpoint, vqNames } from './nn/vq-checkpoint.ts';
export { codebookName, nanoCodec, vqCodec, type VqCodec, type VqCodecConfig } from './nn/vq-codec.ts';

// A model that looks and answers.
export { answererOptions, answeringOptions, LookingModel, ownModels } from './models/looking-model.ts';
export { lookerAsker, type Looker } from './models/looker.ts';
export { lookerInProcess } from './models/looker-process.ts';
export type { ChoiceQuestion, PictureQuestion, WrittenQuestion } from './models/answerer.ts';

// Files: weights, configurations, tokenizers, pictures.
export type { SourceEntry, StoredType, WeightSource } from './contracts/weight-source.ts';
export { openWeightSource } from './io/weight-files/open.ts';
export { readFloatTensors } from './io/weight-files/floats.ts';
export { filtered, layered } from './io/weight-files/pieces.ts';
export { renamed } from './io/weight-files/renamed.ts';
export { nameTable, type NameRule } from './tensor/name-rules.ts';
export { ConfigReader } from './io/config-reader.ts';
export { originalVqConfig, portVqConfig, publishedVqConfig } from './io/vq-config.ts';
export { readTokenizerFile, type TokenizerFile } from './io/tokenizer-file.ts';
export { decodePicture, decodeSquare, encodePng, pictureFormat } from './io/image.ts';
export { resizeBicubic, resizeBilinear, shrunk } from './nn/resize.ts';
export {
  duplicateShare,
  faultsOf,
  pictureFaults,
  pictureSigns,
  thumbnailDistance,
  thumbnailOf,
  type PictureFault,
  type PictureSigns,
} from './rl/picture-signs.ts';
export { fingerprint } from './io/fingerprint.ts';
export { inputHash } from './io/input-hash.ts';
export { philox } from './tensor/philox.ts';
