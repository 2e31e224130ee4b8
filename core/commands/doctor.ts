import { statfsSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { exitCodes, ReasongenError } from '../errors.ts';
import { availableMemory } from '../gpu/host-memory.ts';
import { findPackage } from '../io/installed-package.ts';
import { describeProgram } from '../io/software.ts';
import { installedPlugins } from '../preset/installed-plugins.ts';
import { formatBytes } from '../plan.ts';
import { matrixFeature, describeMatrix } from '../gpu/subgroup-matrices.ts';
import { wasHidden } from '../half-trial.ts';
import { type AdapterFacts, readAdapter, tryHalves } from './adapter.ts';
import type { CommandContext } from './context.ts';

/** One thing the program needs or likes to have; `hint` is the exact remedy where it is missing. */
export interface Fact {
  readonly name: string;
  readonly ok: boolean;
  readonly found: string;
  readonly hint?: string | undefined;
}

/** `doctor`: adapter, driver, features, limits, versions, and the remedy for each thing missing. */
export async function doctor(
  { write, environment }: CommandContext,
  { json = false }: { readonly json?: boolean } = {},
): Promise<number> {
  const adapter = await readAdapter();
  const halfFault = adapter === undefined ? undefined : await tryHalves(adapter);
  const facts = [
    ...versions(),
    ...machine(),
    driver(environment),
    ...vulkanVariables(environment),
    ...(adapter === undefined ? [noAdapter] : describe(adapter, halfFault)),
    ...(await setupFacts(environment)),
    ...(await optionalPackages()),
  ];
  const exitCode = adapter === undefined ? exitCodes.noAdapter : exitCodes.done;
  if (json) {
    write(`${JSON.stringify({ ready: adapter !== undefined, facts }, undefined, 2)}\n`);
    return exitCode;
  }
  const width = Math.max(...facts.map((fact) => fact.name.length));
  for (const { name, ok, found, hint } of facts) {
    // With an adapter at work, what is not there is an alternative.
    const state = ok ? 'ok' : adapter === undefined ? 'missing' : 'absent';
    write(`${state.padEnd(7)} ${name.padEnd(width)}  ${found}\n`);
    if (!ok && hint !== undefined) write(`${' '.repeat(9 + width)} → ${hint}\n`);
  }
  write(
    adapter === undefined
      ? '\nNothing can be computed on this machine yet.\n'
      : '\nThis machine can run every preset that fits its memory.\n',
  );
  return exitCode;
}

const noAdapter: Fact = {
  name: 'adapter',
  ok: false,
  found: 'WebGPU finds none',
  hint: 'npx reasongen setup',
};

function versions(): Fact[] {
  const { versions: found, commit } = describeProgram();
  const facts = commit === undefined ? found : { ...found, commit };
  return Object.entries(facts).map(([name, version]) => ({ name, ok: true, found: version }));
}

function machine(): Fact[] {
  const available = availableMemory();
  const { bavail, bsize } = statfsSync('.');
  const free = bavail * bsize;
  return [
    { name: 'processor', ok: true, found: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}` },
    {
      name: 'memory',
      ok: available > 2 ** 30,
      found: `${formatBytes(available)} of ${formatBytes(totalmem())} available`,
      hint: 'end other programs: the nano presets need about 1 GiB on a software adapter',
    },
    {
      name: 'disk',
      ok: free > 2 ** 28,
      found: `${formatBytes(free)} free here`,
      hint: 'free some space, or choose another --run-dir',
    },
  ];
}

/** What the set-up says about the driver it chose, or why it has none. */
function driver(environment: CommandContext['environment']): Fact {
  const name = 'driver';
  const chosen = environment['REASONGEN_DRIVER'];
  if (chosen) {
    const { kind, description, why, faster } = JSON.parse(chosen) as Readonly<
      Record<'kind' | 'description' | 'why', string>
    > & {
      readonly faster?: string;
    };
    const tip = faster === undefined ? '' : `; for a faster one: ${faster}`;
    return { name, ok: true, found: `${kind}, ${description}; chosen because ${why}${tip}` };
  }
  const failed = environment['REASONGEN_DRIVER_ERROR'];
  if (!failed) return { name, ok: true, found: 'whatever the system offers: started without the set-up' };
  const { message, hint } = JSON.parse(failed) as { readonly message: string; readonly hint: string };
  return { name, ok: false, found: message, hint };
}

/** What a user has set that decides which drivers the Vulkan loader shows. */
function vulkanVariables(environment: CommandContext['environment']): Fact[] {
  const set = JSON.parse(environment['REASONGEN_VULKAN_VARIABLES'] ?? '{}') as Readonly<Record<string, string>>;
  return Object.entries(set).map(([name, value]) => ({
    name,
    ok: true,
    found: `"${value}": set by you; ${
      /^VK_(DRIVER_FILES|ICD_FILENAMES)$/.test(name)
        ? 'the chosen driver takes its place'
        : 'the Vulkan loader obeys it and may hide drivers; unset it if an adapter is missing'
    }`,
  }));
}

function describe(adapter: AdapterFacts, halfFault: string | undefined): Fact[] {
  const { description, isSoftware, features, limits } = adapter;
  return [
    { name: 'adapter', ok: true, found: `${description}${isSoftware ? ' (on the processor)' : ''}` },
    ...offered(adapter, halfFault),
    {
      name: 'other features',
      ok: true,
      found: features.filter((feature) => !known.includes(feature)).join(', ') || 'none',
    },
    { name: 'maxBufferSize', ok: true, found: formatBytes(limits.maxBufferSize) },
    { name: 'maxStorageBufferBindingSize', ok: true, found: formatBytes(limits.maxStorageBufferBindingSize) },
    { name: 'maxComputeWorkgroupStorageSize', ok: true, found: formatBytes(limits.maxComputeWorkgroupStorageSize) },
    { name: 'maxComputeInvocationsPerWorkgroup', ok: true, found: String(limits.maxComputeInvocationsPerWorkgroup) },
    { name: 'maxStorageBuffersPerShaderStage', ok: true, found: String(limits.maxStorageBuffersPerShaderStage) },
  ];
}

const known: readonly string[] = ['shader-f16', 'subgroups', 'timestamp-query', matrixFeature];

/** What the adapter gives of the features that kernels are chosen by, and why not. `halfFault`: what a trial of f16 found wrong. */
export function offered({ features, report }: Pick<AdapterFacts, 'features' | 'report'>, halfFault?: string): Fact[] {
  const has = (feature: string): boolean => features.includes(feature);
  const newMesa = 'a driver that has it: Mesa 24 or newer (npx reasongen setup), or a GPU';
  const { subgroupMinSize: least, subgroupMaxSize: most, matrices } = report;
  return [
    { name: 'shader-f16', ...halves(has('shader-f16'), report, halfFault, newMesa) },
    {
      name: 'subgroups',
      ok: has('subgroups'),
      found: has('subgroups')
        ? `of ${least === most ? least : `${least} to ${most}`} lanes`
        : 'no: slower kernels are used',
      hint: newMesa,
    },
    {
      name: 'subgroup matrices',
      ok: true,
      found: matrices.map(describeMatrix).join('; ') || 'none: the driver offers no cooperative matrices',
    },
    {
      name: 'timestamp-query',
      ok: has('timestamp-query'),
      found: has('timestamp-query') ? 'yes' : 'no: `npm run bench` cannot time kernels',
      hint: newMesa,
    },
  ];
}

function halves(
  isThere: boolean,
  report: AdapterFacts['report'],
  fault: string | undefined,
  newMesa: string,
): Omit<Fact, 'name'> {
  const newDriver = 'a newer NVIDIA driver may mend it; `npx reasongen verify-device` checks the rest';
  if (!wasHidden(report)) {
    const found = isThere ? 'yes' : 'no: caches cannot be kept in half precision';
    return { ok: isThere, found, hint: newMesa };
  }
  if (!isThere)
    return { ok: false, found: 'no, although Dawn was asked for it (vulkan_enable_f16_on_nvidia)', hint: newDriver };
  if (fault === undefined)
    return { ok: true, found: 'yes: Dawn was asked for it (vulkan_enable_f16_on_nvidia), and a trial found it right' };
  return { ok: false, found: `offered and not used: a trial found it wrong (${fault})`, hint: newDriver };
}

/** What components of the plugins in reach need beyond the program; who uses none of them misses nothing. */
async function optionalPackages(): Promise<Fact[]> {
  const plugins = await installedPlugins([]);
  return plugins.flatMap(({ outcome, file }) => {
    if (outcome instanceof ReasongenError) return [];
    return (outcome.packages ?? []).map(({ name, purpose, install }) => {
      const found = findPackage(name, file === undefined ? [] : [file]);
      return {
        name,
        ok: found !== undefined,
        found: found === undefined ? `not installed; it is needed for ${purpose}` : `${found.version}, for ${purpose}`,
        hint: install,
      };
    });
  });
}

/** Drivers, loaders and caches as the set-up sees them. */
async function setupFacts(environment: CommandContext['environment']): Promise<readonly Fact[]> {
  const { describeAdapter } = await import('../setup/describe-adapter.mjs');
  return describeAdapter({ env: { ...environment } });
}
