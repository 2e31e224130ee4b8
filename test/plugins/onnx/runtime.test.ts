/** The process in which models run: it works beside the program, ends when it should, and another begins where one has ended. */
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import type { Image } from '../../../core/plugin.ts';
import { detectorOptions, openDetector } from '../../../plugins/onnx/detector.ts';
import type { JudgeThat } from '../../../plugins/onnx/options.ts';
import { OnnxRuntime } from '../../../plugins/onnx/runtime.ts';
import type { OnnxTensor } from '../../../plugins/onnx/worker.mjs';
import { onnxPackage } from '../../../plugins/onnx/package.ts';
import { OnnxGraph } from '../../bench/peers/onnx-model.mjs';
import { fixtures, never, pictureOf, temporaryFolder } from './models.ts';

async function opened(threads = 1): Promise<{
  runtime: OnnxRuntime;
  judge: JudgeThat<'detect'>;
  image: Image;
  warnings: readonly string[];
}> {
  const warnings: string[] = [];
  const runtime = new OnnxRuntime({ threads, warn: (message) => warnings.push(message) });
  onTestFinished(() => runtime.close());
  const judge = await openDetector(detectorOptions.parse({ model: `${fixtures}detector` }), runtime);
  return { runtime, judge, image: await pictureOf('detector/a.png'), warnings };
}

const isAlive = (pid: number | undefined): boolean => {
  try {
    return pid !== undefined && process.kill(pid, 0);
  } catch {
    return false;
  }
};

async function ends(pid: number | undefined): Promise<boolean> {
  for (let tries = 0; tries < 200 && isAlive(pid); tries++) await sleep(25);
  return !isAlive(pid);
}

test('many questions at once are answered as one by one, by one process, which ends with the run', async () => {
  const { runtime, judge, image } = await opened();
  expect(runtime.pid).toBeUndefined();
  const one = await judge.detect(image, never);
  const pid = runtime.pid;
  expect(isAlive(pid)).toBe(true);
  const many = await Promise.all(Array.from({ length: 8 }, () => judge.detect(image, never)));
  for (const each of many) expect(each).toEqual(one);
  expect(runtime.pid).toBe(pid);
  runtime.close();
  expect(await ends(pid)).toBe(true);
  await expect(judge.detect(image, never)).rejects.toMatchObject({
    code: 'JUDGE_ENDED',
    message: expect.stringContaining('with the run'),
  });
});

test('threads are those that were asked for, and a part of the fingerprint', async () => {
  const [one, two] = [await opened(1), await opened(2)];
  expect([one.judge.fingerprint['threads'], two.judge.fingerprint['threads']]).toEqual(['1', '2']);
  expect(one.judge.fingerprint).toMatchObject({
    'onnxruntime-node': '1.30.0',
    sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
  });
  expect(detectorOptions.parse({ model: '.' }).threads).toBe(2);
});

test('a process that crashes is replaced once for a question; what ends the next one, too, fails in words', async () => {
  const { runtime, judge, image, warnings } = await opened();
  const right = await judge.detect(image, never);
  const slow = slowModel();
  /** Ends a process that has not answered: it stands still from before the question on. */
  const end = async (pid = 0): Promise<void> => {
    await sleep(10);
    process.kill(pid, 'SIGKILL');
  };
  const stopped = (): number | undefined => {
    process.kill(runtime.pid ?? 0, 'SIGSTOP');
    return runtime.pid;
  };
  const asked = stopped();
  const [survives] = await Promise.all([runtime.run(slow, matrices(10), ['sum'], never), end(asked)]);
  expect(survives['sum']?.data).toEqual(Float32Array.of(0));
  expect(warnings).toEqual(['the process that runs the model was ended by SIGKILL; another one is begun']);
  const first = stopped();
  const fails = runtime.run(slow, matrices(3000), ['sum'], never);
  fails.catch(() => undefined);
  await end(first);
  while (runtime.pid === first || runtime.pid === undefined) await sleep(5);
  await end(runtime.pid);
  await expect(fails).rejects.toMatchObject({
    code: 'JUDGE_ENDED',
    place: slow,
    message: 'the process that runs the model was ended by SIGKILL',
    hint: expect.stringContaining('memory'),
  });
  expect(await judge.detect(image, never)).toEqual(right);
});

test('a question that is given up is left at once, whether it is begun or waits; the others are answered', async () => {
  const { runtime, judge, image } = await opened();
  const right = await judge.detect(image, never);
  const before = runtime.pid;
  const [begun, waiting] = [new AbortController(), new AbortController()];
  const slow = runtime.run(slowModel(), matrices(3000), ['sum'], begun.signal);
  const queued = judge.detect(image, waiting.signal);
  const last = judge.detect(image, never);
  await sleep(200);
  waiting.abort(new Error('not wanted any more'));
  await expect(queued).rejects.toThrow('not wanted any more');
  expect(isAlive(before)).toBe(true);
  begun.abort(new Error('takes too long'));
  await expect(slow).rejects.toThrow('takes too long');
  expect(await last).toEqual(right);
  expect(await ends(before)).toBe(true);
  await expect(judge.detect(image, AbortSignal.abort(new Error('never begun')))).rejects.toThrow('never begun');
});

test('the program goes on while a model runs', async () => {
  const { runtime } = await opened();
  const file = slowModel();
  await runtime.open(file, never);
  let ticks = 0;
  const timer = setInterval(() => ticks++, 5);
  await runtime.run(file, matrices(700), ['sum'], never);
  clearInterval(timer);
  expect(ticks).toBeGreaterThan(3);
});

test('it ends when the program is killed', async () => {
  const script = join(temporaryFolder(), 'program.mjs');
  const [worker, library] = [
    import.meta.resolve('../../../plugins/onnx/worker.mjs'),
    import.meta.resolve('onnxruntime-node'),
  ];
  const open = { kind: 'open', file: `${fixtures}detector/onnx/model.onnx` };
  writeFileSync(
    script,
    `import { fork } from 'node:child_process';
const child = fork(new URL('${worker}'), ['${fileURLToPath(library)}', '1'], { serialization: 'advanced' });
child.once('message', () => console.log(child.pid));
child.send(${JSON.stringify(open)});`,
  );
  const child = execFile(process.execPath, [script]);
  const pid = await new Promise<number>((resolve) =>
    child.stdout?.once('data', (text: string) => resolve(Number(text))),
  );
  expect(isAlive(pid)).toBe(true);
  child.kill('SIGKILL');
  expect(await ends(pid)).toBe(true);
});

test('where the package is missing, one line says how to install it', () => {
  const [here, elsewhere] = [process.cwd(), temporaryFolder()];
  process.chdir(elsewhere);
  onTestFinished(() => process.chdir(here));
  expect(
    () => new OnnxRuntime({ threads: 1, warn: () => undefined, places: [join(elsewhere, 'package.json')] }),
  ).toThrow(expect.objectContaining({ code: 'ONNXRUNTIME_MISSING', hint: onnxPackage.install, exitCode: 2 }));
  const { devDependencies } = JSON.parse(readFileSync(`${fixtures}../../../package.json`, 'utf8')) as {
    devDependencies: Record<string, string>;
  };
  expect(onnxPackage.install).toBe(
    `ONNXRUNTIME_NODE_INSTALL=skip npm install onnxruntime-node@${devDependencies['onnxruntime-node']}`,
  );
});

/** Twenty products of square matrices, as large as it is asked. */
function slowModel(): string {
  const graph = new OnnxGraph();
  graph.input('shape', [2], 'int64');
  let product = graph.node('ConstantOfShape', ['shape']);
  for (let round = 0; round < 20; round++) product = graph.node('MatMul', [product, product]);
  graph.node('ReduceSum', [product], { keepdims: 0 }, 'sum');
  graph.output('sum', []);
  const file = join(temporaryFolder(), 'slow.onnx');
  writeFileSync(file, graph.finish());
  return file;
}

const matrices = (side: number): { shape: OnnxTensor } => ({
  shape: { data: BigInt64Array.of(BigInt(side), BigInt(side)), dims: [2] },
});
