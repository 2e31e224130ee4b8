/** First values of a set of weights made on the device: models of any size without memory on the host. */
import { quantize, quantizedGroup } from '../tensor/quantized.ts';
import { elementBytes, sizeOf, type Tensor } from '../tensor/tensor.ts';
import { nameKey } from './initial-values.ts';
import type { ParameterSpec } from '../contracts/backbone.ts';
import type { Device } from '../gpu/device.ts';
import { Program } from '../autograd/program.ts';
import { Workspace } from '../autograd/workspace.ts';
import { grid, type Launch } from '../autograd/launch.ts';

/** How many deviations codes reach to; a normal value lies further once in two thousand. */
const reach = 3.5;

/** A set of weights, as far as it takes to fill it. */
export interface FillableWeights {
  readonly device: Device;
  readonly names: readonly string[];
  spec(name: string): ParameterSpec;
  get(name: string): Tensor;
}

/**
 * Fills every weight by its `init`, those of given values excepted. Values follow from seed, name and index, whatever the parts and the storage, up to the
 * rounding of the storage and of the adapter's logarithm and root.
 */
export async function fillOnDevice(parameters: FillableWeights, seed: number): Promise<void> {
  const { device } = parameters;
  const launches: Launch[] = [];
  for (const name of parameters.names) {
    const { init } = parameters.spec(name);
    if ('values' in init) continue;
    const weight = parameters.get(name);
    let first = 0;
    for (const part of weight.shards ?? [weight]) {
      const count = sizeOf(part.shape);
      const values = 'normal' in init ? { mean: 0, std: init.normal } : { mean: init.constant, std: 0 };
      const stored = part.scales === undefined ? values : normalOfCodes(parameters, part, values);
      launches.push(fillLaunch(part, first, stored, seed, nameKey(0, name)));
      first += count;
    }
  }
  const workspace = new Workspace(device);
  const program = await Program.create('first values', workspace, launches);
  program.run();
  await device.settle();
  program.dispose();
  workspace.close();
}

interface Normal {
  readonly mean: number;
  readonly std: number;
}

function fillLaunch(out: Tensor, first: number, { mean, std }: Normal, seed: number, key: number): Launch {
  const count = sizeOf(out.shape);
  return {
    kernel: 'parameters/fill',
    constants: { BITS: elementBytes(out.type) * 8, BRAIN: out.type === 'bf16' },
    bindings: { out },
    params: { count, first, mean, deviation: std, seed: seed >>> 0, key },
    groups: grid(Math.ceil(count / 512)),
  };
}

/** Writes one scale and minimum for all groups, those of a group that reaches as far as codes shall; returns the values in units of codes. */
function normalOfCodes(parameters: FillableWeights, { type, name, scales }: Tensor, { mean, std }: Normal): Normal {
  if (scales === undefined || (type !== 'int8' && type !== 'int4')) throw new RangeError(`${name} has no scales`);
  const [word = 0] = quantize(
    new Float32Array(quantizedGroup).fill(mean + reach * std).fill(mean - reach * std, 1),
    type,
  ).scales;
  parameters.device.write(scales, new Uint32Array(sizeOf(scales.shape)).fill(word));
  const [scale = 0, minimum = 0] = new Float32Array(Uint32Array.of(word << 16, word & 0xffff0000).buffer);
  return scale === 0 ? { mean: 0, std: 0 } : { mean: (mean - minimum) / scale, std: std / scale };
}
