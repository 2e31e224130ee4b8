/**
 * A long training run made short: many updates of a small decoder, and what they leave behind. Prints buffers made, growth of the
 * heap, submits and passes per update; fails when anything was made or kept.
 *   node core/setup/launch.mjs node --import tsx test/bench/steady.ts [updates]
 */
import { performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ParameterSet } from '../../core/weights/parameters.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import type { Optimizer } from '../../core/contracts/optimizer.ts';
import { openDevice } from '../../core/gpu/device.ts';
import { packSequences, type Sequence } from '../../core/nn/packing.ts';
import { eachKind, TokenPrograms } from '../../core/nn/token-program.ts';
import { janusBackbone } from '../../plugins/janus/backbone.ts';
import optimizers from '../../plugins/optimizers/index.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const updates = Number(process.argv[2] ?? 1000);
const device = await openDevice();
const workspace = new Workspace(device);
const backbone = janusBackbone('steady', {
  hidden: 64,
  layers: 2,
  heads: 4,
  keyValueHeads: 4,
  mlp: 128,
  ropeTheta: 1e4,
  normEpsilon: 1e-6,
  textVocabulary: 128,
  imageVocabulary: 64,
  codeDimension: 8,
});
const parameters = new ParameterSet(device, backbone.parameters, { seed: 0, trainable: () => true });
const optimizer = adamw().open(parameters);
const tape = new Tape(workspace);
optimizer.record(tape);
const update = await tape.finish('optimizer update');
const one = device.scalar('temperature', 1);
const programs = new TokenPrograms({
  name: 'steady',
  workspace,
  backbone,
  parameters,
  temperature: { text: one, image: one },
  objective: eachKind((recording, kind, scored) => {
    const dOut = recording.device.tensor(`${kind} seeds`, scored.shape);
    return { dOut, inputs: { dOut }, outputs: {} };
  }),
});
// Two shapes in turn: what one program leaves in the workspace must not cost the other anything.
const batches = [4, 9].map((count) => packSequences(Array.from({ length: count }, (_, index) => sequence(index))));
let steps = 0;

async function step(): Promise<void> {
  const batch = batches[steps % batches.length];
  if (batch === undefined) throw new RangeError('there is no batch');
  const { program, objective, scored } = await programs.prepare(batch);
  for (const kind of ['text', 'image'] as const) {
    const dOut = objective[kind]?.dOut;
    if (dOut !== undefined) device.write(dOut, new Float32Array(batch[kind].count * 2).fill(-1 / batch[kind].used));
  }
  program.run();
  steps += 1;
  optimizer.prepare(steps, 1e-4);
  update.run();
  await device.read([scored.text, scored.image, optimizer.report].filter((tensor) => tensor !== undefined));
}

for (let i = 0; i < 100; i++) await step();
collect();
const before = { ...device.memory, heap: process.memoryUsage().heapUsed, rss: process.memoryUsage().rss };
const utilization = performance.eventLoopUtilization();
const started = performance.now();
for (let i = 0; i < updates; i++) await step();
const seconds = (performance.now() - started) / 1000;
const busy = performance.eventLoopUtilization(utilization).utilization;
collect();
const after = { ...device.memory, heap: process.memoryUsage().heapUsed, rss: process.memoryUsage().rss };
const kept = after.heap - before.heap;
process.stdout.write(
  [
    `${updates} updates in ${seconds.toFixed(1)} s on ${device.adapter.description}`,
    `buffers made: ${after.created - before.created}; device memory: ${((after.bytes - before.bytes) / 1024).toFixed(0)} KiB more`,
    `heap: ${(kept / 1024).toFixed(0)} KiB more after collection; resident set: ${((after.rss - before.rss) / 2 ** 20).toFixed(1)} MiB more`,
    `per update: ${((after.submits - before.submits) / updates).toFixed(2)} submits, ${((after.passes - before.passes) / updates).toFixed(2)} passes`,
    `the main thread was busy for ${(100 * busy).toFixed(0)} % of the time`,
    '',
  ].join('\n'),
);
device.close();
// 200 bytes an update would be one object kept by each.
if (after.created !== before.created || after.bytes !== before.bytes || kept > 200 * Math.max(updates, 1000))
  process.exitCode = 1;

function adamw(): Optimizer {
  const component = optimizers.provides.find(({ name }) => name === 'adamw');
  if (component === undefined) throw new RangeError('there is no optimizer adamw');
  // It needs no other component: the scope stays unused.
  return component.create(component.options.parse({ learningRate: 1e-4 }), {} as never) as Optimizer;
}

function sequence(seed: number): Sequence {
  const words = (length: number, limit: number): number[] =>
    Array.from({ length }, (_, index) => (seed * 31 + index * 7) % limit);
  return { text: words(12 + seed, 128), firstTarget: 5, codes: words(16, 64), trailing: [2] };
}
