/**
 * One stack in a process of its own: `worker.mjs STACK VARIANT` takes JSON lines on standard input, `{ prepare: i }`, `{ run: times }`,
 * and answers each with one line on descriptor 3. What libraries print goes to standard error.
 */
import { createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { referenceOf } from './reference.mjs';
import { workloads } from './workloads.mjs';

const [, , stackName = '', variant = ''] = process.argv;
const answers = createWriteStream('', { fd: 3 });
const answer = (/** @type {unknown} */ value) => void answers.write(`${JSON.stringify(value)}\n`);

if (variant.includes('webgpu')) await provideWebGpu(variant.endsWith('+backoff'));
const { open } = await import(`./stacks/${stackName}${stackName === 'reasongen' ? '.ts' : '.mjs'}`);
const stack = await open(variant.replace('+backoff', ''));
/** A run may tell CPU milliseconds that another process of the stack has used. @type {{ run(times: number): Promise<number | void> } | undefined} */
let task;
answer({ ready: true });

let queue = Promise.resolve();
const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  queue = queue.then(() => handle(JSON.parse(line)));
});
lines.on('close', () => {
  queue = queue.then(() => answers.end(() => process.exit(0)));
});

/** @param {{ prepare: number } | { run: number }} request */
async function handle(request) {
  try {
    if ('prepare' in request) return answer(await prepare(request.prepare));
    const cpu = process.cpuUsage();
    const started = performance.now();
    const elsewhere = (await task?.run(request.run)) ?? 0;
    const milliseconds = performance.now() - started;
    const { user, system } = process.cpuUsage(cpu);
    answer({ milliseconds, cpuMilliseconds: (user + system) / 1000 + elsewhere });
  } catch (error) {
    if (process.env['PEERS_DEBUG'] === '1') console.error(error);
    answer({ error: String(error instanceof Error ? error.message : error).slice(0, 300) });
  }
}

/** @param {number} index */
async function prepare(index) {
  const work = workloads[index];
  if (work === undefined) throw new RangeError(`no workload ${index}`);
  const prepared = await stack.prepare(work);
  task = prepared;
  if (prepared === undefined) return { unsupported: true };
  const result = await prepared.check();
  const { expected, indices, tolerance } = referenceOf(work);
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(Number(result[indices?.[i] ?? i]) - Number(expected[i]));
    if (!(difference <= worst)) worst = difference;
  }
  return {
    error:
      worst <= tolerance
        ? undefined
        : `differs from the reference by ${worst.toExponential(2)}, allowed ${tolerance.toExponential(1)}`,
    worst,
  };
}

/** A `navigator.gpu` for libraries made for browsers; with back-off, polls later than a millisecond into a wait go through a timer. @param {boolean} backOff */
async function provideWebGpu(backOff) {
  if (!backOff) process.env['REASONGEN_POLLING'] = 'spin';
  const { dawn, beginWait } = await import('../../../core/gpu/dawn.ts');
  const gpu = dawn(['enable-dawn-features=allow_unsafe_apis']);
  const agent = { gpu, userAgent: 'node', platform: 'linux', hardwareConcurrency: 2, language: 'en' };
  Object.defineProperty(globalThis, 'navigator', { value: agent, configurable: true });
  // Dawn's bindings refuse views of shared memory, which a browser takes; a copy is what a browser makes as well.
  const queue = /** @type {any} */ (GPUQueue.prototype);
  const writeBuffer = queue.writeBuffer;
  queue.writeBuffer = function write(
    /** @type {unknown} */ buffer,
    /** @type {number} */ offset,
    /** @type {any} */ data,
    /** @type {unknown[]} */ ...rest
  ) {
    const memory = data.buffer ?? data;
    return writeBuffer.call(this, buffer, offset, memory instanceof SharedArrayBuffer ? data.slice() : data, ...rest);
  };
  if (!backOff) return;
  for (const [prototype, method] of [
    [GPUBuffer.prototype, 'mapAsync'],
    [GPUQueue.prototype, 'onSubmittedWorkDone'],
  ]) {
    const original = /** @type {any} */ (prototype)[method];
    /** @type {any} */ (prototype)[method] = function wait(/** @type {unknown[]} */ ...inputs) {
      beginWait();
      return original.apply(this, inputs);
    };
  }
}
