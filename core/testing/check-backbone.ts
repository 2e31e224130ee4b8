/** What a backbone must keep: it draws token by token with a cache and is trained on whole sequences, and both must be one function of its weights. */
import { Tape } from '../autograd/tape.ts';
import { Workspace } from '../autograd/workspace.ts';
import type { Backbone, KeyValueCache } from '../contracts/backbone.ts';
import type { Component } from '../contracts/slots.ts';
import type { Device } from '../gpu/device.ts';
import { tokenLogProbability } from '../ops/log-probability.ts';
import { gatherRows, mergeRows } from '../ops/rows.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { ParameterSet } from '../weights/parameters.ts';
import { at, maximumError, randomFloats, randomWords } from './arrays.ts';
import { ContractError, type ContractSettings, nameOf, openComponent } from './contract.ts';
import { packTokens, rowOf, type PackedSequences, type PackedToken } from './packed.ts';

export interface BackboneContract extends ContractSettings {
  readonly device: Device;
}

/** Names of parameters whose first values scale: they are kept near 1 where others are made livelier. */
const isGain = (spec: Backbone['parameters'][number]): boolean => 'constant' in spec.init && spec.init.constant === 1;

/**
 * Holds a backbone to its contract: parameters of different names, heads for every id; a prefill and cached steps give what the packed forward gives; a
 * sequence is the same alone and beside others; moving any trained weight along its gradient changes the loss by the gradient.
 * @throws ContractError, with the cause
 */
export async function checkBackbone(component: Component<'backbone'>, contract: BackboneContract): Promise<void> {
  const { made, dispose } = await openComponent(component, contract);
  await checkModel(nameOf(component), made, contract.device);
  await dispose();
}

/** The same for a model that is there already. */
export async function checkModel(who: string, backbone: Backbone, device: Device): Promise<void> {
  const names = backbone.parameters.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new ContractError(who, `names two parameters "${twice}"`);
  const model = new Model(who, backbone, device);
  await model.checkSteps();
  await model.checkGradients();
}

class Model {
  readonly who: string;
  readonly backbone: Backbone;
  readonly device: Device;
  readonly workspace: Workspace;

  constructor(who: string, backbone: Backbone, device: Device) {
    this.who = who;
    this.backbone = backbone;
    this.device = device;
    this.workspace = new Workspace(device);
  }

  async checkSteps(): Promise<void> {
    const { backbone, device } = this;
    const weights = new ParameterSet(device, backbone.parameters, { seed: 4 });
    const sequences = [this.#sequence(5, 4, 1), this.#sequence(8, 3, 5), this.#sequence(3, 6, 9)];
    const packed = this.#pack(sequences);
    const expected = await this.#run((tape) => backbone.hidden(tape, weights, packed.tokens));
    const compare = (actual: Float32Array, row: number, place: number, why: string): void => {
      const [a, b] = [
        rowOf(actual, row, backbone.hiddenSize),
        rowOf(expected, packed.row(row, place), backbone.hiddenSize),
      ];
      const error = maximumError(a, b);
      if (!(error < 1e-5))
        throw new ContractError(
          this.who,
          `${why} (token ${place} of sequence ${row}: off by ${error.toExponential(1)})`,
        );
    };
    for (const [row, sequence] of sequences.entries()) {
      const alone = this.#pack([sequence]);
      const states = await this.#run((tape) => backbone.hidden(tape, weights, alone.tokens));
      for (let place = 0; place < sequence.length; place++) {
        const [a, b] = [
          rowOf(states, place, backbone.hiddenSize),
          rowOf(expected, packed.row(row, place), backbone.hiddenSize),
        ];
        if (!(maximumError(a, b) < 1e-5))
          throw new ContractError(
            this.who,
            `gives token ${place} of a sequence another state when other sequences are packed beside it: attention looks beyond segmentStart and segmentEnd, or positions are those of the row`,
          );
      }
    }
    const prompts = sequences.map((tokens, row) => tokens.slice(0, row + 1));
    const packedPrompts = this.#pack(prompts);
    const cache = this.#cache(sequences.length, 12);
    const source = this.#words(prompts.map((_, row) => packedPrompts.row(row, 0)));
    const length = this.#words(prompts.map((tokens) => tokens.length));
    await this.#run((tape) => backbone.hidden(tape, weights, packedPrompts.tokens, { cache, source, length }));
    for (let offset = 0; offset < 11; offset++) {
      // A finished row repeats its last token, which writes the same cache entry again.
      const places = sequences.map((tokens, row) => Math.min(row + 1 + offset, tokens.length - 1));
      const tokens = sequences.map((all, row) => all[at(places, row)] ?? { id: 0, isImage: false });
      const actual = await this.#run((tape) =>
        backbone.step(tape, weights, this.#embed(tape, weights, tokens), this.#words(places), cache),
      );
      places.forEach((place, row) =>
        compare(
          actual,
          row,
          place,
          'draws otherwise than it is trained: a prefill and cached steps do not give what the packed forward gives',
        ),
      );
    }
    weights.close();
  }

  async checkGradients(): Promise<void> {
    const { backbone, device } = this;
    const weights = new ParameterSet(device, backbone.parameters, { seed: 5, trainable: () => true });
    // The published spread starts so close to zero that f32 differences say little: use livelier weights.
    for (const spec of backbone.parameters) {
      const count = spec.shape.reduce((product, n) => product * n, 1);
      device.write(
        weights.get(spec.name),
        randomFloats(count, count + spec.name.length, 0.4).map((value) => value + (isGain(spec) ? 1 : 0)),
      );
    }
    const { loss, program } = await this.#recordLoss(weights);
    await loss();
    const gradients = await weights.read('gradients');
    const values = await weights.read();
    for (const [name, { data }] of gradients) {
      const norm = Math.sqrt(data.reduce((sum, value) => sum + value * value, 0));
      if (!(norm > 1e-3))
        throw new ContractError(this.who, `gives ${name} no gradient: nothing reads it, or a launch cuts the way back`);
      const origin = values.get(name)?.data ?? new Float32Array();
      const move = async (distance: number): Promise<number> => {
        device.write(
          weights.get(name),
          origin.map((value, index) => value + (distance * at(data, index)) / norm),
        );
        return loss();
      };
      const slope = ((await move(4e-3)) - (await move(-4e-3))) / 8e-3;
      device.write(weights.get(name), origin);
      if (!(Math.abs(slope - norm) / Math.max(norm, 0.1) < 5e-3))
        throw new ContractError(
          this.who,
          `has a wrong gradient of ${name}: moving the weight along it changes the loss by ${slope.toPrecision(4)} and not by ${norm.toPrecision(4)}`,
        );
    }
    program.dispose();
    weights.close();
  }

  async #recordLoss(
    weights: ParameterSet,
  ): Promise<{ readonly loss: () => Promise<number>; readonly program: { dispose(): void } }> {
    const { backbone, device, workspace } = this;
    const sequences = [this.#sequence(5, 4, 1), this.#sequence(4, 7, 5)];
    const packed = this.#pack(sequences);
    const tape = new Tape(workspace);
    weights.watch(tape);
    const states = backbone.hidden(tape, weights, packed.tokens);
    const all = sequences.flatMap((tokens, row) => tokens.map((token, index) => ({ token, row, index })));
    const kinds = [false, true].filter((isImage) => all.some(({ token }) => token.isImage === isImage));
    const parts = kinds.map((isImage) => {
      const entries = all.filter(({ token, index }) => token.isImage === isImage && index > 0);
      const chosen = gatherRows(tape, states, this.#words(entries.map(({ row, index }) => packed.row(row, index - 1))));
      const logits = isImage ? backbone.imageLogits(tape, weights, chosen) : backbone.textLogits(tape, weights, chosen);
      const wanted = isImage ? backbone.imageVocabulary : backbone.textVocabulary;
      if (logits.shape.at(-1) !== wanted)
        throw new ContractError(
          this.who,
          `gives ${logits.shape.at(-1)} ${isImage ? 'image' : 'text'} logits; its vocabulary has ${wanted}`,
        );
      const scored = tokenLogProbability(tape, logits, this.#words(entries.map(({ token }) => token.id)), {
        temperature: 1,
      });
      const slopes = randomFloats(entries.length * 2, 7);
      tape.seed(scored, device.tensor('slopes', [entries.length, 2], 'f32', slopes));
      return { slopes, kept: tape.output(scored) };
    });
    tape.backward();
    const program = await tape.finish('loss');
    const loss = async (): Promise<number> => {
      program.run();
      const values = await device.read(parts.map(({ kept }) => kept));
      return parts.reduce(
        (sum, { slopes }, part) =>
          sum + slopes.reduce((inner, slope, entry) => inner + slope * at(values[part] ?? [], entry), 0),
        0,
      );
    };
    return { loss, program };
  }

  #pack(sequences: readonly (readonly PackedToken[])[]): PackedSequences {
    return packTokens(this.device, sequences, undefined, this.backbone.positionAxes);
  }

  /** Text, then codes, then an end token, as the recipes lay it out; text alone of a backbone that draws nothing. */
  #sequence(text: number, codes: number, seed: number): PackedToken[] {
    const { textVocabulary, imageVocabulary } = this.backbone;
    if (imageVocabulary === 0)
      return Array.from(randomWords(text + codes + 1, seed, textVocabulary), (id) => ({ id, isImage: false }));
    return [
      ...Array.from(randomWords(text, seed, textVocabulary), (id) => ({ id, isImage: false })),
      ...Array.from(randomWords(codes, seed + 1, imageVocabulary), (id) => ({ id, isImage: true })),
      { id: 1, isImage: false },
    ];
  }

  #words(values: readonly number[]): Tensor {
    return this.device.tensor('words', [values.length], 'u32', Uint32Array.from(values));
  }

  /** Runs what `make` records once and reads what it returns. */
  async #run(make: (tape: Tape) => Tensor): Promise<Float32Array> {
    const tape = new Tape(this.workspace);
    const kept = tape.output(make(tape));
    const program = await tape.finish('check');
    program.run();
    const values = await this.device.readFloats(kept);
    await this.device.settle();
    program.dispose();
    return values;
  }

  #embed(tape: Tape, weights: ParameterSet, tokens: readonly PackedToken[]): Tensor {
    const rowsOf = (isImage: boolean): number[] =>
      tokens.flatMap((token, row) => (token.isImage === isImage ? [row] : []));
    const idsOf = (isImage: boolean): Tensor =>
      this.#words(tokens.filter((token) => token.isImage === isImage).map(({ id }) => id));
    if (rowsOf(true).length === 0) return this.backbone.embedText(tape, weights, idsOf(false));
    if (rowsOf(false).length === 0) return this.backbone.embedImage(tape, weights, idsOf(true));
    const text = this.backbone.embedText(tape, weights, idsOf(false));
    const image = this.backbone.embedImage(tape, weights, idsOf(true));
    const parts = [
      { x: text, rows: this.#words(rowsOf(false)) },
      { x: image, rows: this.#words(rowsOf(true)) },
    ];
    return mergeRows(tape, parts, tokens.length);
  }

  #cache(rows: number, capacity: number): KeyValueCache {
    const { layers, keyValueHeads, headDimension, positionAxes = 1 } = this.backbone;
    const each = (name: string): Tensor[] =>
      Array.from({ length: layers }, () => this.device.tensor(name, [rows, capacity, keyValueHeads * headDimension]));
    return {
      rows,
      capacity,
      cacheRows: this.#words([...Array(rows).keys()]),
      ...(positionAxes > 1 && { shifts: this.#words(Array.from({ length: rows }, () => 0)) }),
      keys: each('keys'),
      values: each('values'),
    };
  }
}
