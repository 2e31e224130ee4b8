/**
 * The process in which models run: a run blocks the thread it is on, and what a model takes is given back only when its process ends. It
 * answers one request after another. A model is loaded when it is first asked for.
 */
import { createRequire } from 'node:module';

/**
 * @typedef {{ data: Float32Array | BigInt64Array, dims: number[] }} OnnxTensor
 * @typedef {{ name: string, type: string, shape: (number | string)[] }} OnnxValue name, type and shape of what a model takes or gives; a text stands for a free size
 * @typedef {{ inputs: OnnxValue[], outputs: OnnxValue[] }} OnnxInterface
 * @typedef {{ kind: 'open', file: string } | { kind: 'run', file: string, feeds: Record<string, OnnxTensor>, outputs: string[] }} OnnxRequest
 * @typedef {{ kind: 'interface', value: OnnxInterface } | { kind: 'tensors', value: Record<string, OnnxTensor> } | { kind: 'failed', while: 'installed' | 'opened' | 'run', why: string }} OnnxAnswer
 * @typedef {import('onnxruntime-node').InferenceSession} Session
 */

/** The file of the package, and threads for each model. */
const [, , library = '', threads = ''] = process.argv;

/** @type {Map<string, Session>} */
const sessions = new Map();

process.on('message', (/** @type {OnnxRequest} */ request) => void reply(request));
process.on('disconnect', () => process.exit());
// A key pressed in a terminal reaches all processes there: the one that asks decides when this one ends.
for (const signal of /** @type {const} */ (['SIGINT', 'SIGHUP'])) process.on(signal, () => undefined);

/** @param {OnnxRequest} request */
async function reply(request) {
  process.send?.(await answer(request));
}

/** @param {OnnxRequest} request @returns {Promise<OnnxAnswer>} */
async function answer(request) {
  /** @type {Extract<OnnxAnswer, { kind: 'failed' }>['while']} */
  let doing = 'installed';
  try {
    const { InferenceSession, Tensor } = /** @type {typeof import('onnxruntime-node')} */ (
      createRequire(import.meta.url)(library)
    );
    doing = 'opened';
    const session =
      sessions.get(request.file) ??
      (await InferenceSession.create(request.file, {
        intraOpNumThreads: Number(threads),
        interOpNumThreads: 1,
        executionProviders: ['cpu'],
        logSeverityLevel: 3,
      }));
    sessions.set(request.file, session);
    if (request.kind === 'open') return { kind: 'interface', value: interfaceOf(session) };
    doing = 'run';
    const feeds = Object.fromEntries(
      Object.entries(request.feeds).map(([name, { data, dims }]) => [
        name,
        data instanceof Float32Array ? new Tensor('float32', data, dims) : new Tensor('int64', data, dims),
      ]),
    );
    const found = await session.run(feeds, request.outputs);
    return {
      kind: 'tensors',
      value: Object.fromEntries(
        Object.entries(found).map(([name, { data, dims }]) => [
          name,
          { data: /** @type {Float32Array} */ (data), dims: [...dims] },
        ]),
      ),
    };
  } catch (error) {
    return { kind: 'failed', while: doing, why: error instanceof Error ? error.message : String(error) };
  }
}

/** @param {Session} session @returns {OnnxInterface} */
function interfaceOf({ inputMetadata, outputMetadata }) {
  /** @param {Session['inputMetadata'][number]} value @returns {OnnxValue} */
  const described = (value) => ({
    name: value.name,
    type: value.isTensor ? value.type : 'not a tensor',
    shape: value.isTensor ? [...value.shape] : [],
  });
  return { inputs: inputMetadata.map(described), outputs: outputMetadata.map(described) };
}
