/** What the tests of a plugin import: contract checks for each slot, and what a test of an op or of a kernel needs. */
export { at, maximumError, randomFloats, randomStream, randomWords, relativeError } from './testing/arrays.ts';
export { fromHalves, toHalves } from './tensor/float16.ts';
export { checkOp, type OpCheck, type OpInput } from './testing/check-op.ts';
export { kernelFiles } from './testing/kernel-files.ts';

// Contracts: what a component of each slot must keep. They need no test runner: a breach throws, and says what was expected.
export { checkBackbone, type BackboneContract } from './testing/check-backbone.ts';
export { checkBenchmark, type BenchmarkContract } from './testing/check-benchmark.ts';
export { checkDataset, type DatasetContract } from './testing/check-dataset.ts';
export { checkExtension, type ExtensionContract } from './testing/check-extension.ts';
export { checkJudge, type JudgeContract } from './testing/check-judge.ts';
export { checkOptimizer, type OptimizerContract } from './testing/check-optimizer.ts';
export { checkReward, type RewardContract } from './testing/check-reward.ts';
export {
  checkImageTokenizer,
  checkTokenizer,
  type ImageTokenizerContract,
  type TokenizerContract,
} from './testing/check-tokenizers.ts';
export { ContractError, type ContractSettings } from './testing/contract.ts';
export { testImage, testSample, testSamples } from './testing/stand-ins.ts';
export { openTestDevice } from './testing/test-device.ts';
