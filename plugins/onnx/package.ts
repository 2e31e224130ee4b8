import type { OptionalPackage } from '../../core/plugin.ts';

/**
 * The package that runs the models; whoever uses none of them need not have its 290 MB. Its install script fetches libraries for CUDA, which
 * are not used, from another host, and fails the installation where it cannot.
 */
export const onnxPackage: OptionalPackage = {
  name: 'onnxruntime-node',
  purpose: 'the judges detector, clip-score and ocr',
  install: 'ONNXRUNTIME_NODE_INSTALL=skip npm install onnxruntime-node@1.30.0',
};
