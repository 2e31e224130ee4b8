/** Weights as bytes: what is handed on draws the same sequences, whatever the storage, with adapters or without. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Workspace } from '../../../core/autograd/workspace.ts';
import type { Weights } from '../../../core/contracts/backbone.ts';
import type { DrawRequest, DrawSizes } from '../../../core/contracts/executor.ts';
import { openSequenceDrawer } from '../../../core/drawing/sequences.ts';
import { openDrawService } from '../../../core/drawing/service.ts';
import { openDevice, type Device } from '../../../core/gpu/device.ts';
import { AdaptedWeights, adapterSpecs } from '../../../core/weights/adapters.ts';
import { ReceivedWeights, shareWeights } from '../../../core/weights/exchange.ts';
import { ParameterSet, type WeightStorage } from '../../../core/weights/parameters.ts';
import { SmallBackbone } from '../../support/small-backbone.ts';
import { smallTokenizer as tokenizer } from '../../support/small-tokenizer.ts';

const backbone = new SmallBackbone();
const sizes: DrawSizes = {
  rows: 4,
  prompts: 2,
  promptTokens: 6,
  textTokens: 5,
  codes: 9,
  isGuided: true,
  cache: 'f32',
  precision: 'f32',
};
const request: DrawRequest = {
  prompts: [
    [0, 7, 8, 9],
    [0, 5],
  ],
  samplesPerPrompt: 2,
  seed: 9,
  rowKeys: [65536, 65537, 131072, 131073],
  text: { temperature: 1, topK: 0, topP: 1 },
  image: { temperature: 1, topK: 0, topP: 1, guidance: 2 },
  rationale: ['write', 'write'],
};

let device: Device;
let elsewhere: Device;
beforeAll(async () => {
  device = await openDevice();
  elsewhere = await openDevice();
});
afterAll(() => {
  device.close();
  elsewhere.close();
});

function adapted(base: ParameterSet): AdaptedWeights {
  const match = (name: string): boolean => name === 'q' || name === 'o';
  const matrices = new ParameterSet(device, adapterSpecs(backbone.parameters, { match, rank: 3 }), {
    seed: 8,
    trainable: () => true,
  });
  // `up` begins at zero: with values it makes a difference.
  const values = [...matrices.names].map(
    (name) =>
      [
        name,
        {
          shape: matrices.spec(name).shape,
          data: new Float32Array(matrices.spec(name).shape.reduce((a, b) => a * b)).map((_, i) => Math.sin(i) / 3),
        },
      ] as const,
  );
  matrices.load(new Map(values), 'the test');
  return new AdaptedWeights(base, matrices, { match, rank: 3, alpha: 5 });
}

const base = (storage: WeightStorage, bindingLimit?: number): ParameterSet =>
  new ParameterSet(device, backbone.parameters, {
    seed: 4,
    storage,
    ...(bindingLimit !== undefined && { bindingLimit }),
  });

test.each<readonly [string, () => Weights]>([
  ['f32', () => base('f32')],
  ['bf16', () => base('bf16')],
  ['f32 in parts, with scales nowhere', () => base('f32', 1024)],
  ['adapters beside bf16', () => adapted(base('bf16'))],
])('handed to another device: %s', async (_name, make) => {
  const weights = make();
  const shared = shareWeights(device, backbone, weights);
  const service = openDrawService(elsewhere, backbone, tokenizer);
  const received = await service.openWeights(structuredClone(shared.layout));
  expect(received.names.toSorted()).toEqual([...shared.names].toSorted());
  const bytes = await shared.read(shared.names);
  shared.names.forEach((name, index) => {
    expect(bytes[index]?.byteLength).toBe(shared.byteLength(name));
    expect(received.byteLength(name)).toBe(shared.byteLength(name));
    received.write(name, bytes[index] ?? new Uint8Array());
  });
  const local = await openSequenceDrawer({ workspace: new Workspace(device), backbone, weights, tokenizer }, sizes);
  const expected = await local.draw(request);
  expect(await service.draw(sizes, request)).toEqual(expected);
  // One prompt by itself, as a job has it.
  const [, second = []] = request.prompts;
  const alone = { ...request, prompts: [second], rowKeys: request.rowKeys.slice(2), rationale: ['write'] as const };
  expect(await service.draw({ ...sizes, rows: 2, prompts: 1 }, alone)).toEqual(expected.slice(2));
  // What is given again comes back the same.
  const again = shareWeights(elsewhere, backbone, received as ReceivedWeights);
  expect(await again.read(shared.names)).toEqual(bytes);
  await service.close();
  expect(elsewhere.memory.bytes).toBeLessThan(2 ** 20);
});

test('codes of int8 and int4 travel with their scales', async () => {
  const matrix = { name: 'wide', shape: [128, 64], init: { normal: 1 } } as const;
  class Wide extends SmallBackbone {
    override readonly parameters = [matrix];
  }
  const of = new Wide();
  for (const storage of ['int8', 'int4'] as const) {
    // Bindings of 2 KiB: in parts.
    const weights = new ParameterSet(device, [matrix], { seed: 1, storage, bindingLimit: 2048 });
    expect(weights.get('wide').shards?.length).toBeGreaterThan(1);
    const shared = shareWeights(device, of, weights);
    const received = new ReceivedWeights(elsewhere, of, shared.layout);
    const [bytes = new Uint8Array()] = await shared.read(['wide']);
    received.write('wide', bytes);
    expect((await shareWeights(elsewhere, of, received).read(['wide']))[0]).toEqual(bytes);
    expect(received.get('wide').shards).toBeUndefined();
    expect(() => received.write('wide', bytes.subarray(1))).toThrow(`wide has ${bytes.byteLength} bytes`);
  }
});

test('a layout of another backbone is refused', () => {
  const layout = { tensors: [{ name: 'stranger', storage: 'f32' as const }], adapters: [] };
  expect(() => new ReceivedWeights(device, backbone, layout)).toThrow('no weight of this backbone is named stranger');
  const packed = { tensors: [{ name: 'text', storage: 'int4' as const }], adapters: [] };
  expect(() => new ReceivedWeights(device, backbone, packed)).toThrow('text cannot be stored as int4');
  const adapters = [{ weight: 'nobody', rank: 2, scale: 1 }];
  expect(() => new ReceivedWeights(device, backbone, { tensors: [], adapters })).toThrow('nobody is no matrix');
});

test('what training moves is told: weights of a set, and adapters always', () => {
  const trained = new ParameterSet(device, backbone.parameters, { seed: 4, trainable: (name) => name === 'q' });
  const shared = shareWeights(device, backbone, trained);
  expect([shared.moves('q'), shared.moves('k'), shared.version()]).toEqual([true, false, undefined]);
  const lowRank = shareWeights(device, backbone, adapted(base('f32')));
  expect([lowRank.moves('q.lora_A.weight'), lowRank.moves('k')]).toEqual([true, true]);
});
