/** What is compared of a Qwen fixture, stage by stage. */
import { Tape } from '../../../core/autograd/tape.ts';
import type { KeyValueCache, PackedTokens, Weights } from '../../../core/contracts/backbone.ts';
import type { Image } from '../../../core/contracts/image.ts';
import { ReasongenError } from '../../../core/errors.ts';
import { finalNorm, packedBlock } from '../../../core/nn/decoder.ts';
import { embedPacked } from '../../../core/nn/embed-packed.ts';
import { placePictures } from '../../../core/nn/features.ts';
import { createPackedInputs } from '../../../core/nn/packed-inputs.ts';
import { packSequences, type TokenPositions } from '../../../core/nn/packing.ts';
import { createPictureInputs } from '../../../core/nn/picture-inputs.ts';
import { createSampler } from '../../../core/nn/sampler.ts';
import { linear } from '../../../core/ops/linear.ts';
import { rotary } from '../../../core/ops/rotary.ts';
import { type Tensor } from '../../../core/tensor/tensor.ts';
import { at } from '../../../core/testing.ts';
import type { ParameterSet } from '../../../core/weights/parameters.ts';
import { withDeepstack } from '../../../plugins/qwen-vl/backbone.ts';
import { gridOf, patchPlaces, smartResize } from '../../../plugins/qwen-vl/pictures.ts';
import { windowOrder } from '../../../plugins/qwen-vl/places.ts';
import { towerFeatures, towerStages } from '../../../plugins/qwen-vl/tower.ts';
import { compare, compute, farthest, type Comparison } from '../comparison.ts';
import type { QwenBench } from './harness.ts';
import { prompts, type Prompt } from './fixture.ts';

const exact = { tolerance: 0, aim: 0 };
/** Largest error over the largest value. */
const stage = { tolerance: 1e-4, aim: 2e-5 };
const pixels = { tolerance: 1e-6, aim: 1e-6 };
const meanGray = { tolerance: 0.5, aim: 0.05 };
const mostGray = { tolerance: 4, aim: 1 };
const logProbability = { tolerance: 1e-4, aim: 2e-5 };

/** Largest absolute error over the largest absolute value of the tensor. */
function scaled(name: string, actual: ArrayLike<number>, expected: ArrayLike<number>, bound = stage): Comparison {
  let most = 0;
  for (let i = 0; i < expected.length; i++) most = Math.max(most, Math.abs(at(expected, i)));
  const { error } = farthest(name, actual, expected, bound);
  return compare(name, error / most, bound);
}

/** Whole numbers that differ. */
function same(name: string, actual: ArrayLike<number>, expected: ArrayLike<number>): Comparison {
  if (actual.length !== expected.length) return compare(name, Number.POSITIVE_INFINITY, exact);
  let wrong = 0;
  for (let i = 0; i < expected.length; i++) if (actual[i] !== expected[i]) wrong += 1;
  return compare(`${name} (wrong of ${expected.length})`, wrong, exact);
}

/** Targets of resizing; patches of the reference's pictures, and of what the own resize makes of them. */
export async function preprocess({ fixture }: QwenBench): Promise<Comparison[]> {
  const { golden, vision, rules, config } = fixture;
  const wrong = golden.smart_resize.rows.filter(([height, width, factor, minPixels, maxPixels, expected]) => {
    const found = resizeTarget(width, height, factor, { ...rules, minPixels, maxPixels });
    return found?.join() !== expected?.join();
  });
  const rows = [compare(`smart_resize (wrong of ${golden.smart_resize.rows.length})`, wrong.length, exact)];
  for (const [index, { resized_size: size, tokens }] of golden.pictures.entries()) {
    const key = `pictures.${index}`;
    const [resized, own] = [await fixture.resized(index), vision.fit(await fixture.picture(index))];
    const grid = gridOf(own, config.vision);
    const errors = own.data.map((byte, i) => Math.abs(byte - at(resized.data, i)));
    rows.push(
      same(`${key} size`, [own.width, own.height], size),
      same(`${key} tokens`, [vision.span(own).vectors], [tokens]),
      same(`${key}.grid_thw`, [1, grid.rows, grid.columns], fixture.words(`${key}.grid_thw`)),
      farthest(
        `${key}.pixel_values`,
        fixture.layOut([resized])['patches']?.values ?? [],
        fixture.floats(`${key}.pixel_values`),
        pixels,
      ),
      compare(`${key} resized: mean gray level`, errors.reduce((sum, e) => sum + e, 0) / errors.length, meanGray),
      compare(`${key} resized: largest gray level`, Math.max(...errors), mostGray),
    );
  }
  return rows;
}

function resizeTarget(
  width: number,
  height: number,
  factor: number,
  rules: Parameters<typeof smartResize>[2],
): [number, number] | undefined {
  try {
    const size = smartResize({ width, height }, factor, rules);
    return [size.height, size.width];
  } catch (error) {
    if (error instanceof ReasongenError && error.code === 'PICTURE_SHAPE') return undefined;
    throw error;
  }
}

/** Places of patches, order of windows, bounds; positions of every token of the prompts. */
export async function positions(bench: QwenBench): Promise<Comparison[]> {
  const { fixture, device } = bench;
  const { merge, windows, width, heads, ropeTheta } = fixture.config.vision;
  const packed = await packedPictures(bench);
  const grids = packed.map((picture) => gridOf(picture, fixture.config.vision));
  const places = grids.flatMap((grid) => patchPlaces(grid, merge)).flat();
  const arrays = fixture.layOut(packed);
  const rows = [
    same(
      'vision.grid_thw',
      grids.flatMap(({ rows: high, columns }) => [1, high, columns]),
      fixture.words('vision.grid_thw'),
    ),
    same('vision.position_ids', places, fixture.words('vision.position_ids')),
    same('vision.cu_seqlens', boundsOf(arrays['pictureEnd']?.values ?? []), fixture.words('vision.cu_seqlens')),
  ];
  if (windows !== undefined) {
    const { index } = windowOrder(grids, merge, windows.side);
    rows.push(
      same('vision.window_index', index, fixture.words('vision.window_index')),
      same(
        'vision.cu_window_seqlens',
        boundsOf(arrays['windowEnd']?.values ?? []),
        fixture.words('vision.cu_window_seqlens'),
      ),
    );
  }
  // Half a head of ones turns into cosines and sines.
  const [count, head] = [places.length / 2, width / heads];
  const ones = Float32Array.from({ length: count * head }, (_, i) => (i % head < head / 2 ? 1 : 0));
  const [turned = new Float32Array()] = await compute(bench, (tape) => [
    rotary(
      tape,
      device.tensor('ones', [count, head], 'f32', ones),
      device.tensor('places', [count, 2], 'u32', Uint32Array.from(places)),
      {
        heads: 1,
        headDimension: head,
        theta: ropeTheta,
        axes: { sections: [head / 4, head / 4], order: 'axial' },
      },
    ),
  ]);
  for (const [name, half] of [
    ['cos', 0],
    ['sin', head / 2],
  ] as const) {
    const doubled = ones.map((_, i) => at(turned, i - (i % head) + half + (i % (head / 2))));
    rows.push(scaled(`vision.${name}`, doubled, fixture.floats(`vision.${name}`)));
  }
  for (const prompt of prompts) {
    const { positions: own } = await promptOf(bench, prompt);
    const known = fixture.words(`${prompt}.position_ids`);
    const length = known.length / 3;
    const axesFirst = known.map((_, i) => at(own.positions, (i % length) * 3 + Math.floor(i / length)));
    rows.push(
      same(`${prompt}.position_ids`, axesFirst, known),
      same(`${prompt} next position`, [own.next], [fixture.golden.prompts[prompt].next_position]),
    );
  }
  return rows;
}

/** Every bound of segments, from the row after the last of each row's. */
function boundsOf(ends: ArrayLike<number>): number[] {
  return [0, ...new Set(Array.from(ends))];
}

/** The tower over two pictures in one call. */
export async function tower(bench: QwenBench): Promise<Comparison[]> {
  const { fixture } = bench;
  const inputs = createPictureInputs(bench.device, fixture.layOut(await packedPictures(bench)));
  const weights = await fixture.weights(bench.device);
  const names: string[] = [];
  const values = await compute(bench, (tape) => {
    const { patches, places, blocks, deepstack, merged, ordered } = towerStages(
      tape,
      weights,
      fixture.config.vision,
      inputs,
    );
    names.push('patch_embed', ...(places === undefined ? [] : ['position_embedding']));
    names.push(...blocks.map((_, i) => `block.${i}`), ...deepstack.map((_, i) => `deepstack.${i}`));
    names.push('merged', 'features');
    return [patches, ...(places === undefined ? [] : [places]), ...blocks, ...deepstack, merged, ordered];
  });
  weights.close();
  return names.map((name, i) => scaled(`vision.${name}`, values[i] ?? [], fixture.floats(`vision.${name}`)));
}

export const text = (bench: QwenBench): Promise<Comparison[]> => layersOf(bench, 'text');
export const one = (bench: QwenBench): Promise<Comparison[]> => layersOf(bench, 'one');
export const two = (bench: QwenBench): Promise<Comparison[]> => layersOf(bench, 'two');

/** The decoder layer by layer, and the same through the backbone. */
async function layersOf(bench: QwenBench, prompt: Prompt): Promise<Comparison[]> {
  const { fixture } = bench;
  const { decoder, backbone } = fixture;
  const { ids, positions: own, seen } = await promptOf(bench, prompt);
  const weights = await fixture.weights(bench.device);
  const [count = 0] = fixture.shape(`${prompt}.logits`);
  const values = await compute(bench, (tape) => {
    const tokens = packedTokens(bench, tape, weights, ids, own, seen);
    const { own: embedded, behind } = withDeepstack(
      tape,
      tokens,
      backbone.hiddenSize,
      fixture.config.vision.deepstack.length,
    );
    let x = embedPacked(tape, backbone, weights, embedded);
    const stages = [x];
    for (let layer = 0; layer < decoder.layers; layer++) {
      const out = packedBlock(tape, weights, decoder, layer, x, embedded);
      stages.push(out);
      x = behind(layer, out);
    }
    const states = finalNorm(tape, weights, decoder, x);
    const logits = linear(tape, states, weights.get(fixture.config.text.isTied ? tableName : 'lm_head.weight'));
    return [...stages, states, logits, backbone.textLogits(tape, weights, backbone.hidden(tape, weights, tokens))];
  });
  weights.close();
  const names = ['embedding', ...Array.from({ length: decoder.layers }, (_, i) => `layer.${i}`), 'norm', 'logits'];
  const used = (all: Float32Array, width: number): Float32Array => all.subarray(0, ids.length * width);
  const { textVocabulary, hiddenSize } = backbone;
  const rows = names.map((name, i) => {
    const found = values[i] ?? new Float32Array();
    const expected = fixture.floats(`${prompt}.${name}`);
    if (name !== 'logits') return scaled(`${prompt}.${name}`, used(found, hiddenSize), expected);
    return scaled(`${prompt}.${name}`, used(found, textVocabulary).slice(-count * textVocabulary), expected);
  });
  const whole = used(values.at(-1) ?? new Float32Array(), textVocabulary).slice(-count * textVocabulary);
  return [...rows, scaled(`${prompt}.logits (backbone)`, whole, fixture.floats(`${prompt}.logits`))];
}

const tableName = 'model.language_model.embed_tokens.weight';

/** Greedy decoding with a cache: token by token here, and through the sampler; with the published penalty as well. */
export async function generate(bench: QwenBench): Promise<Comparison[]> {
  const { fixture, device, workspace } = bench;
  const { backbone, golden, placeholder, endTokens } = fixture;
  const weights = await fixture.weights(device);
  const prompt = await promptOf(bench, 'one');
  const expected = fixture.words('generate.ids');
  const plain = await decode(bench, weights, prompt, (logits) => logits);
  const penalty = golden.generate.repetition_penalty;
  const penalised = await decode(bench, weights, prompt, (logits, ids) => {
    const result = Float32Array.from(logits);
    for (const id of new Set(ids))
      result[id] = at(logits, id) > 0 ? at(logits, id) / penalty : at(logits, id) * penalty;
    return result;
  });
  const features = await featuresOf(bench, weights, prompt.seen);
  const budget = golden.generate.max_new_tokens;
  const sampler = await createSampler({
    device,
    workspace,
    backbone,
    weights,
    rows: 2,
    promptBudget: prompt.ids.length,
    // The last token of a text that is cut off is not counted.
    textBudget: budget + 1,
    imageCount: 0,
    special: { imageStart: endTokens[0] ?? 0, eos: endTokens[0] ?? 0 },
  });
  const written = await sampler.write({
    prompts: [prompt.ids],
    samplesPerPrompt: 2,
    ...(features !== undefined && {
      features: { placeholder, values: features, pictures: [prompt.seen.map((picture) => fixture.place(picture))] },
    }),
    seed: 0,
    text: { temperature: 0, topK: 0, topP: 1 },
  });
  sampler.close();
  weights.close();
  const withEnd = (ids: readonly number[]): number[] => {
    const end = expected.at(-1);
    return end !== undefined && endTokens.includes(end) && ids.length === expected.length - 1
      ? [...ids, end]
      : [...ids.slice(0, expected.length)];
  };
  return [
    same('generate.ids', plain.ids, expected),
    ...written.map(({ ids }, sample) => same(`generate.ids (sampler, row ${sample})`, withEnd(ids), expected)),
    scaled('generate.logits', plain.logits, fixture.floats('generate.logits')),
    same('generate.ids_penalised', penalised.ids, fixture.words('generate.ids_penalised')),
  ];
}

/** Log-probabilities of given answers, and of yes and no. */
export async function answers(bench: QwenBench): Promise<Comparison[]> {
  const { fixture, device } = bench;
  const { backbone, golden } = fixture;
  const { answers: known } = golden;
  const prompt = await pictured(bench, fixture.words('answers.input_ids'), known.pictures);
  const weights = await fixture.weights(device);
  const rows: Comparison[] = [];
  for (const [index, { sum, mean }] of known.answers.entries()) {
    const answer = fixture.words(`answers.${index}.ids`);
    const logits = await logitsOf(bench, weights, [...prompt.ids, ...answer], prompt);
    const all = answer.map((id, place) => logOf(logits(prompt.ids.length - 1 + place), id));
    const total = all.reduce((part, value) => part + value, 0);
    rows.push(
      farthest(`answers.${index}.logp`, all, fixture.floats(`answers.${index}.logp`), logProbability),
      compare(`answers.${index} sum, by token`, Math.abs(total - sum) / answer.length, logProbability),
      compare(`answers.${index} mean`, Math.abs(total / answer.length - mean), logProbability),
    );
  }
  const last = (await logitsOf(bench, weights, prompt.ids, prompt))(prompt.ids.length - 1);
  weights.close();
  const [yes, no] = [Math.exp(logOf(last, known.yes_id)), Math.exp(logOf(last, known.no_id))];
  if (last.length !== backbone.textVocabulary) throw new RangeError(`${last.length} logits`);
  return [
    ...rows,
    scaled('answers.last_logits', last, fixture.floats('answers.last_logits')),
    compare('answers p_yes', Math.abs(yes - known.p_yes), logProbability),
    compare('answers p_no', Math.abs(no - known.p_no), logProbability),
    compare('answers p_yes among both', Math.abs(yes / (yes + no) - known.p_yes_among_both), logProbability),
  ];
}

/** Several questions about one picture. */
export async function questions(bench: QwenBench): Promise<Comparison[]> {
  const { fixture, device } = bench;
  const weights = await fixture.weights(device);
  const rows: Comparison[] = [];
  for (let index = 0; index < fixture.golden.questions.texts.length; index++) {
    const key = `questions.${index}`;
    const ids = fixture.words(`${key}.input_ids`);
    const prompt = await pictured(bench, ids, [fixture.golden.questions.picture]);
    const logits = await logitsOf(bench, weights, ids, prompt);
    rows.push(scaled(`${key}.last_logits`, logits(ids.length - 1), fixture.floats(`${key}.last_logits`)));
  }
  weights.close();
  return rows;
}

interface PicturedPrompt {
  readonly ids: readonly number[];
  readonly seen: readonly Image[];
  readonly positions: TokenPositions;
}

function promptOf(bench: QwenBench, prompt: Prompt): Promise<PicturedPrompt> {
  const { fixture } = bench;
  return pictured(bench, fixture.words(`${prompt}.input_ids`), fixture.golden.prompts[prompt].pictures);
}

async function pictured(
  { fixture }: QwenBench,
  ids: readonly number[],
  pictures: readonly number[],
): Promise<PicturedPrompt> {
  const seen = await Promise.all(pictures.map((index) => fixture.resized(index)));
  const places = seen.map((picture) => fixture.place(picture));
  return { ids, seen, positions: placePictures(ids, fixture.placeholder, places, 3).positions };
}

function packedPictures({ fixture }: QwenBench): Promise<Image[]> {
  return Promise.all([0, 1].map((index) => fixture.resized(index)));
}

/** One sequence as a backbone takes it, the vectors of its pictures recorded before it. */
function packedTokens(
  { device, fixture }: QwenBench,
  tape: Tape,
  weights: Weights,
  ids: readonly number[],
  places: TokenPositions,
  seen: readonly Image[],
): PackedTokens {
  const features = ids.flatMap((id, index) => (id === fixture.placeholder ? [index] : []));
  const sequence = { text: ids, firstTarget: ids.length, codes: [], trailing: [], features };
  const batch = packSequences([{ ...sequence, positions: places }]);
  const inputs = createPackedInputs(device, batch, fixture.backbone);
  inputs.fill(batch);
  if (seen.length === 0) return inputs.tokens;
  const pictures = createPictureInputs(device, fixture.layOut(seen));
  return { ...inputs.tokens, features: towerFeatures(tape, weights, fixture.config.vision, pictures) };
}

async function featuresOf(bench: QwenBench, weights: Weights, seen: readonly Image[]): Promise<Tensor | undefined> {
  if (seen.length === 0) return undefined;
  const { device, fixture } = bench;
  const pictures = createPictureInputs(device, fixture.layOut(seen));
  const [values = new Float32Array()] = await compute(bench, (tape) => [
    towerFeatures(tape, weights, fixture.config.vision, pictures),
  ]);
  const width = fixture.vision.vectorSize;
  return device.tensor('features', [values.length / width, width], 'f32', values);
}

/** Logits of every token by one forward pass; positions behind the prompt go on. */
async function logitsOf(
  bench: QwenBench,
  weights: Weights,
  ids: readonly number[],
  { positions: own, seen }: PicturedPrompt,
): Promise<(token: number) => Float32Array> {
  const { backbone } = bench.fixture;
  const [values = new Float32Array()] = await compute(bench, (tape) => [
    backbone.textLogits(
      tape,
      weights,
      backbone.hidden(tape, weights, packedTokens(bench, tape, weights, ids, own, seen)),
    ),
  ]);
  const { textVocabulary: width } = backbone;
  return (token) => values.subarray(token * width, (token + 1) * width);
}

function logOf(logits: Float32Array, id: number): number {
  const most = Math.max(...logits);
  return at(logits, id) - most - Math.log(logits.reduce((sum, value) => sum + Math.exp(value - most), 0));
}

/** Prefill, then one step of the backbone at a time. */
async function decode(
  bench: QwenBench,
  weights: ParameterSet,
  { ids, positions: own, seen }: PicturedPrompt,
  adjust: (logits: Float32Array, ids: readonly number[]) => Float32Array,
): Promise<{ readonly ids: number[]; readonly logits: Float32Array }> {
  const { device, workspace, fixture } = bench;
  const { backbone, endTokens, golden } = fixture;
  const capacity = ids.length + golden.generate.max_new_tokens;
  const word = (name: string, value: number): Tensor => device.tensor(name, [1], 'u32', Uint32Array.of(value));
  const layers = (name: string): Tensor[] =>
    Array.from({ length: backbone.layers }, () =>
      device.tensor(name, [1, capacity, backbone.keyValueHeads * backbone.headDimension]),
    );
  const cache: KeyValueCache = {
    rows: 1,
    capacity,
    cacheRows: word('cache row', 0),
    shifts: word('shift', (own.next - ids.length) >>> 0),
    keys: layers('keys'),
    values: layers('values'),
  };
  await compute(bench, (tape) => {
    const target = { cache, source: word('source', 0), length: word('length', ids.length) };
    return [backbone.hidden(tape, weights, packedTokens(bench, tape, weights, ids, own, seen), target)];
  });
  const [token, place] = [word('token', 0), word('place', 0)];
  const tape = new Tape(workspace);
  const hidden = backbone.step(tape, weights, backbone.embedText(tape, weights, token), place, cache);
  const out = tape.output(backbone.textLogits(tape, weights, hidden));
  const step = await tape.finish('step');
  const all = [...ids];
  const seenLogits: number[] = [];
  while (all.length < capacity) {
    device.write(token, Uint32Array.of(all.at(-1) ?? 0));
    device.write(place, Uint32Array.of(all.length - 1));
    step.run();
    const logits = await device.readFloats(out);
    seenLogits.push(...logits);
    const chosen = adjust(logits, all);
    const id = chosen.indexOf(Math.max(...chosen));
    all.push(id);
    if (endTokens.includes(id)) break;
  }
  step.dispose();
  for (const tensor of [...cache.keys, ...cache.values, out]) device.destroyTensor(tensor);
  return { ids: all.slice(ids.length), logits: Float32Array.from(seenLogits) };
}
