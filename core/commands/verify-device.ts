import { exitCodes, ReasongenError } from '../errors.ts';
import type { Device } from '../gpu/device.ts';
import { describeMatrix } from '../gpu/subgroup-matrices.ts';
import { openTrustedDevice } from '../half-trial.ts';
import { deviceSuite, type DeviceCase } from '../testing/device-suite.ts';
import type { CommandContext } from './context.ts';

/** How the suite is run: with what the adapter offers, and as if it offered less. */
const forms: readonly { readonly name: string; readonly without: readonly GPUFeatureName[] }[] = [
  { name: 'as offered', without: [] },
  { name: 'without subgroups', without: ['subgroups'] },
];

export interface VerifyOptions {
  /** Ops whose name contains this. */
  readonly only?: string;
}

/** `verify-device`: every op of the program on this adapter against float64, with a verdict for each. */
export async function verifyDevice(
  { only = '' }: VerifyOptions,
  { write }: CommandContext,
  suite: readonly DeviceCase[] = deviceSuite,
): Promise<number> {
  const cases = suite.filter(({ op }) => op.toLowerCase().includes(only.toLowerCase()));
  if (cases.length === 0) {
    throw new ReasongenError({
      code: 'UNKNOWN_OP',
      message: `no op is named "${only}"`,
      hint: `ops are: ${[...new Set(suite.map(({ op }) => op))].join('; ')}`,
      exitCode: exitCodes.badPreset,
    });
  }
  let failures = 0;
  let checks = 0;
  let omitted = 0;
  const columns = Math.max(...cases.map(({ op }) => op.length));
  const width = Math.max(...cases.map(({ form }) => form.length));
  for (const { name, without } of forms) {
    const device = await openTrustedDevice({ without });
    if (checks + omitted === 0) write(`${describe(device)}\n`);
    write(
      `\n${name}: ${device.hasBroadcastTiles ? 'broadcast tiles' : 'portable kernels'}\n${'op'.padEnd(columns)}  ${'form'.padEnd(width)}  verdict  value error  gradient error  seconds\n`,
    );
    const leftOutOps = new Set<string>();
    for (const { op, form, run, leftOut } of cases) {
      const started = performance.now();
      const why = leftOut?.(device);
      if (why !== undefined) {
        omitted += 1;
        if (!leftOutOps.has(op)) write(`${op.padEnd(columns)}  ${'every form'.padEnd(width)}  left out: ${why}\n`);
        leftOutOps.add(op);
        continue;
      }
      checks += 1;
      let verdict: string;
      try {
        const { value, gradient } = await run(device);
        verdict = `ok       ${value.toExponential(1).padStart(11)}  ${(gradient === 0 ? '' : gradient.toExponential(1)).padStart(14)}`;
      } catch (error) {
        failures += 1;
        verdict = `WRONG    ${error instanceof Error ? error.message : String(error)}`;
      }
      write(
        `${op.padEnd(columns)}  ${form.padEnd(width)}  ${verdict}  ${((performance.now() - started) / 1000).toFixed(2).padStart(7)}\n`,
      );
    }
    device.close();
  }
  if (omitted > 0) write(`\n${omitted} checks were left out: they are of what this adapter does not offer.`);
  if (failures === 0) write(`\n${checks} checks, all right: this adapter computes what the program means.\n`);
  else
    write(
      `\n${failures} of ${checks} checks are wrong. Do not train on this adapter: update its driver, or choose another adapter (npx reasongen doctor).\n`,
    );
  return failures === 0 ? exitCodes.done : exitCodes.failure;
}

function describe({ adapter, limits, notes }: Device): string {
  return [
    `adapter    ${adapter.description}`,
    `features   ${adapter.features.join(', ') || 'none'}; subgroups ${adapter.subgroupMinSize}..${adapter.subgroupMaxSize}`,
    `matrices   ${adapter.matrices.map(describeMatrix).join('; ') || 'none'}`,
    `binds      ${(limits.maxStorageBufferBindingSize / 2 ** 20).toFixed(0)} MiB at most, ${limits.maxStorageBuffersPerShaderStage} buffers a kernel`,
    ...notes.map((note) => `note       ${note}`),
  ].join('\n');
}
