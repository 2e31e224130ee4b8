/** What a plugin that computes on the device imports beside `plugin.ts`: tensors, tape, parameters, ops. */
export { ParameterSet, blockSize, type Arena, type ParameterOptions } from './autograd/parameters.ts';
export { Program, Workspace, grid, runAll, type Launch } from './autograd/program.ts';
export { Tape } from './autograd/tape.ts';
export type { Backbone, KeyValueCache, PackedTokens, ParameterSpec, PrefillTarget, Weights } from './contracts/backbone.ts';
export type { OpenOptimizer, Optimizer } from './contracts/optimizer.ts';
export { Device, openDevice, type Scalar } from './gpu/device.ts';
export { decoderHidden, decoderParameters, decoderStep, initialSpread, type DecoderShape } from './nn/decoder.ts';
export { embedding } from './ops/embedding.ts';
export { gelu } from './ops/gelu.ts';
export { gradientNorm } from './ops/gradient-norm.ts';
export { linear } from './ops/linear.ts';
export { mergeRows, weightRows } from './ops/rows.ts';
export { byteLength, dimension, elementBytes, reshape, sizeOf, type ElementType, type Tensor } from './tensor/tensor.ts';
