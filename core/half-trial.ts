/**
 * Whether an adapter's `shader-f16` can be trusted. Dawn hides it on NVIDIA's Vulkan drivers because some of its tests fail there, and this
 * program asks for it all the same (gpu/dawn.ts): what was got is tried, and left out where it is wrong.
 */
import { Tape } from './autograd/tape.ts';
import { Workspace } from './autograd/workspace.ts';
import { openDevice, type Device, type DeviceOptions } from './gpu/device.ts';
import type { AdapterReport } from './gpu/adapter-report.ts';
import { matrixFeature } from './gpu/subgroup-matrices.ts';
import { at } from './tensor/at.ts';
import { halfBits, halfValue } from './tensor/float16.ts';

/** The best adapter with what it offers, f16 only where it was given freely or proved right. */
export async function openTrustedDevice(
  options: DeviceOptions = {},
  trial: { readonly wasHidden: typeof wasHidden; readonly halfFault: typeof halfFault } = { wasHidden, halfFault },
): Promise<Device> {
  const device = await openDevice(options);
  if (!device.has('shader-f16') || !trial.wasHidden(device.adapter)) return device;
  const fault = await trial.halfFault(device);
  if (fault === undefined) return device;
  device.close();
  const careful = await openDevice({ ...options, without: [...(options.without ?? []), 'shader-f16', matrixFeature] });
  careful.notes = [
    `the adapter's f16 is not used: ${fault}; caches in f16 are refused, and what the driver does wrong may be mended in a newer one`,
  ];
  return careful;
}

/** Whether Dawn offers `shader-f16` on such an adapter only because it was told to. */
export function wasHidden({ vendor, description }: Pick<AdapterReport, 'vendor' | 'description'>): boolean {
  return /nvidia/i.test(`${vendor} ${description}`);
}

/**
 * What is wrong with values that are kept as f16; undefined when nothing is. An f16 must be one of the two next to the value, below 2^-14
 * also zero (WGSL leaves both open), and must be read back as what it is.
 */
export async function halfFault(device: Device, kernel: string | URL = 'trial/halves'): Promise<string | undefined> {
  const values = trialValues();
  const workspace = new Workspace(device);
  const x = device.tensor('x', [values.length], 'f32', values);
  const tape = new Tape(workspace);
  const halves = device.tensor('halves', x.shape, 'f16');
  const widened = device.tensor('widened', x.shape);
  const params = { count: values.length };
  const groups = [Math.ceil(values.length / 256), 1, 1] as const;
  for (const KEEP of [true, false])
    tape.launch({ kernel, constants: { KEEP }, bindings: { x, halves, widened }, params, groups });
  const program = await tape.finish('trial of halves');
  program.run();
  const [bits, back] = await device.read([halves, widened]);
  program.dispose();
  workspace.close();
  for (const tensor of [x, halves, widened]) device.destroyTensor(tensor);
  for (const [index, value] of values.entries()) {
    const [half, read] = [at(bits!, index), at(back!, index)];
    const kept = halfValue(half);
    if (!isNext(value, kept)) return `${value} is kept as ${kept}`;
    if (read !== kept && !(Math.abs(kept) < 2 ** -14 && read === 0)) return `${kept} is read back as ${read}`;
  }
  return undefined;
}

/** Whether a half is one of the two around a value. */
function isNext(value: number, kept: number): boolean {
  if (Math.abs(value) < 2 ** -14 && kept === 0) return true;
  const nearest = halfValue(halfBits(new Uint32Array(Float32Array.of(value).buffer)[0] ?? 0));
  const step = 2 ** (Math.max(-14, Math.floor(Math.log2(Math.max(Math.abs(value), 2 ** -24)))) - 10);
  return kept === nearest || (Math.abs(kept - value) < step && Math.sign(kept) !== -Math.sign(value));
}

/** Of every size that an f16 has, exact ones and ones between, up to its largest. */
function trialValues(): Float32Array {
  const values: number[] = [0, 65504, -65504, 1, -1];
  for (let exponent = -26; exponent <= 15; exponent++)
    for (const mantissa of [1, 1 + 2 ** -10, 1.25 + 2 ** -12, 1.5 - 2 ** -11, 1.75 + 3 * 2 ** -13, 2 - 2 ** -9])
      values.push(mantissa * 2 ** exponent, -mantissa * 2 ** exponent);
  while (values.length % 4 !== 0) values.push(0);
  return Float32Array.from(values);
}
