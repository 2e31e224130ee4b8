/**
 * Loads a sparse original checkpoint of several gigabytes, as a run does, onto a device that only counts, and prints what it took of
 * host memory. A program of its own, so that nothing else is in its peak. Argument: the folder of the checkpoint.
 */
import { ParameterSet } from '../../core/weights/parameters.ts';
import type { ParameterSpec } from '../../core/contracts/backbone.ts';
import type { WeightSource } from '../../core/contracts/weight-source.ts';
import { PlanningDevice } from '../../core/gpu/planning-device.ts';
import { openWeightSource } from '../../core/io/weight-files/open.ts';
import { filtered } from '../../core/io/weight-files/pieces.ts';
import { renamed } from '../../core/io/weight-files/renamed.ts';
import { janusNames, janusOtherParts } from '../../plugins/janus/names.ts';

const limits = { maxStorageBufferBindingSize: 2 ** 31, maxBufferSize: 2 ** 31 } as GPUSupportedLimits;
const device = new PlanningDevice(limits, {
  vendor: '',
  architecture: '',
  device: '',
  description: 'counts only',
  isSoftware: false,
  features: [],
} as never);

const read = new Map<string, number>();
const file = await openWeightSource(process.argv[2] ?? '');
const counted: WeightSource = {
  ...file,
  read: (name, first, count) => {
    read.set(name, (read.get(name) ?? 0) + count);
    return file.read(name, first, count);
  },
};
const port = renamed(counted, janusNames, 'port');
const source = filtered(port, (name) => !janusOtherParts.some((prefix) => name.startsWith(prefix)));
const specs: ParameterSpec[] = [...source.entries].map(([name, { shape }]) => ({ name, shape, init: { constant: 0 } }));
const before = process.memoryUsage().rss;
const started = performance.now();
const parameters = new ParameterSet(device, specs, { seed: 0, storage: 'bf16', initialize: 'none' });
let calls = 0;
const report = await parameters.loadFrom(source, { progress: () => calls++ });
console.log(
  JSON.stringify({
    bytes: report.bytes,
    grown: process.resourceUsage().maxRSS * 1024 - before,
    seconds: (performance.now() - started) / 1000,
    progress: calls,
    read: [...read.keys()].sort(),
    unread: [...file.entries.keys()].filter((name) => !read.has(name)).sort(),
  }),
);
