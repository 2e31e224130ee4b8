import { expect, test } from 'vitest';
import { Tape } from '../../../core/autograd/tape.ts';
import { Workspace } from '../../../core/autograd/workspace.ts';
import type { KeyValueCache } from '../../../core/contracts/backbone.ts';
import type { Device } from '../../../core/gpu/device.ts';
import { decoderStep } from '../../../core/nn/decoder-step.ts';
import { decoderParameters, type DecoderShape } from '../../../core/nn/decoder.ts';
import type { Tensor } from '../../../core/tensor/tensor.ts';
import { ParameterSet } from '../../../core/weights/parameters.ts';
import { testDevices } from '../../ops/device.ts';

const devices = await testDevices();

/** Kernels of a step of one token for each of `rows`, in order. */
function launchesOf(device: Device, layers: number, rows: number): string[] {
  const shape: DecoderShape = {
    prefix: 'model.',
    hidden: 64,
    layers,
    heads: 2,
    keyValueHeads: 1,
    headDimension: 32,
    mlp: 96,
    ropeTheta: 10_000,
    normEpsilon: 1e-6,
    queryKeyNorm: false,
  };
  const weights = new ParameterSet(device, decoderParameters(shape), { seed: 0 });
  const entries = (): Tensor[] => Array.from({ length: layers }, () => device.tensor('cache', [rows, 8, 32]));
  const words = (name: string): Tensor => device.tensor(name, [rows], 'u32');
  const cache: KeyValueCache = { rows, capacity: 8, cacheRows: words('rows'), keys: entries(), values: entries() };
  const tape = new Tape(new Workspace(device));
  decoderStep(tape, weights, shape, tape.empty('x', [rows, shape.hidden]), words('positions'), cache);
  return tape.recorded.flatMap((step) => ('kernel' in step ? [String(step.kernel)] : []));
}

test.each(devices)('a layer adds as few launches as the kernels can, %s', (_name, device) => {
  const ofLayer = (rows: number): number => launchesOf(device, 3, rows).length - launchesOf(device, 2, rows).length;
  const { isSoftware } = device.adapter;
  // Without a fused norm two more, without fused gates one more.
  expect(ofLayer(4)).toBe(isSoftware ? (device.hasBroadcastTiles ? 8 : 9) : 6);
  expect(ofLayer(40)).toBe(isSoftware && device.hasBroadcastTiles ? 8 : 9);
});

test('on a GPU: products with their norm, the turn into the cache, attention, and two that add to the residual stream', () => {
  const gpu = devices.find(([, device]) => !device.adapter.isSoftware)?.[1];
  const launches = launchesOf(gpu!, 1, 4);
  expect(launches).toEqual([
    'linear/few-rows',
    'cached-attention/turn',
    'cached-attention/attend-split',
    'linear/few-rows',
    'linear/few-rows',
    'linear/few-rows',
    'rms-norm/forward',
  ]);
});
