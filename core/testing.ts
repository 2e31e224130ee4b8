/** What a test of an op or of a kernel needs; also for plugins that bring their own. */
export { at, maximumError, randomFloats, randomStream, randomWords, relativeError } from './testing/arrays.ts';
export { fromHalves, toHalves } from './tensor/float16.ts';
export { checkOp, type OpCheck, type OpInput } from './testing/check-op.ts';
export { kernelFiles } from './testing/kernel-files.ts';
