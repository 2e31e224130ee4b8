/** Judges with models of their own: detectors, CLIP and PP-OCR, exported to ONNX; and rewards that ask them. */
import { defineJudge, definePlugin, type Scope } from '../../core/plugin.ts';
import { clipOptions, openClip } from './clip.ts';
import { detectorOptions, openDetector } from './detector.ts';
import { ocrOptions, openOcr } from './ocr.ts';
import { onnxPackage } from './package.ts';
import { clipScoreReward, ocrReward } from './rewards.ts';
import { OnnxRuntime } from './runtime.ts';

/** A process for each judge, which ends with the run. */
function runtimeFor(threads: number, scope: Pick<Scope, 'log' | 'onDispose'>): OnnxRuntime {
  const runtime = new OnnxRuntime({ threads, warn: (message) => scope.log.warn(message) });
  scope.onDispose(() => runtime.close());
  return runtime;
}

export default definePlugin({
  name: 'onnx',
  packages: [onnxPackage],
  provides: [
    defineJudge({
      name: 'detector',
      summary: 'objects with boxes or masks, by RT-DETR, D-FINE, DETR, YOLOS or Mask2Former (onnxruntime-node)',
      options: detectorOptions,
      create: (options, scope) => openDetector(options, runtimeFor(options.threads, scope)),
    }),
    defineJudge({
      name: 'clip-score',
      summary: 'how well texts fit a picture or an object in it, by CLIP (onnxruntime-node)',
      options: clipOptions,
      create: (options, scope) => openClip(options, runtimeFor(options.threads, scope)),
    }),
    defineJudge({
      name: 'ocr',
      summary: 'text that stands in a picture, by PP-OCR (onnxruntime-node)',
      options: ocrOptions,
      create: (options, scope) => openOcr(options, runtimeFor(options.threads, scope)),
    }),
    clipScoreReward,
    ocrReward,
  ],
});
