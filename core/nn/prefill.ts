/**
 * Fills the cache rows of a sampler with prompts. Equal prompts are computed once and their keys and values written to
 * every row that continues them; prompts of any lengths are packed end to end, and one program per bucket of tokens serves
 * them all.
 */
import type { Program, Workspace } from '../autograd/program.ts';
import { Tape } from '../autograd/tape.ts';
import type { Backbone, KeyValueCache, Weights } from '../contracts/backbone.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { createPackedInputs, packSequences, shapeKey, type PackedBatch, type PackedInputs } from './packing.ts';

export interface PrefillRow {
  readonly row: number;
  /** May be empty: the row then stays as it is. */
  readonly ids: readonly number[];
}

/** Longer lists of prompts are run in parts of about this many tokens. */
const tokensAtOnce = 2048;

export class Prefill {
  private readonly workspace: Workspace;
  private readonly backbone: Backbone;
  private readonly weights: Weights;
  private readonly cache: KeyValueCache;
  private readonly source: Tensor;
  private readonly length: Tensor;
  private readonly byShape = new Map<string, { inputs: PackedInputs; program: Promise<Program> }>();

  constructor(workspace: Workspace, backbone: Backbone, weights: Weights, cache: KeyValueCache) {
    this.workspace = workspace;
    this.backbone = backbone;
    this.weights = weights;
    this.cache = cache;
    this.source = workspace.device.tensor('prefill source', [cache.rows], 'u32');
    this.length = workspace.device.tensor('prefill length', [cache.rows], 'u32');
  }

  async run(rows: readonly PrefillRow[]): Promise<void> {
    const byPrompt = new Map<string, { ids: readonly number[]; rows: number[] }>();
    for (const { row, ids } of rows) {
      if (ids.length === 0) continue;
      const key = ids.join(' ');
      const known = byPrompt.get(key);
      if (known === undefined) byPrompt.set(key, { ids, rows: [row] });
      else known.rows.push(row);
    }
    let part: { ids: readonly number[]; rows: number[] }[] = [];
    let tokens = 0;
    for (const prompt of byPrompt.values()) {
      if (tokens > 0 && tokens + prompt.ids.length > tokensAtOnce) {
        await this.runPart(part);
        part = [];
        tokens = 0;
      }
      part.push(prompt);
      tokens += prompt.ids.length;
    }
    if (part.length > 0) await this.runPart(part);
  }

  close(): void {
    const { device } = this.workspace;
    for (const { inputs, program } of this.byShape.values()) {
      inputs.close();
      void program.then((made) => made.dispose());
    }
    this.byShape.clear();
    device.destroyTensor(this.source);
    device.destroyTensor(this.length);
  }

  private async runPart(prompts: readonly { ids: readonly number[]; rows: readonly number[] }[]): Promise<void> {
    const { device } = this.workspace;
    const batch = packSequences(prompts.map(({ ids }) => ({ text: ids, firstTarget: ids.length, codes: [], trailing: [] })));
    const source = new Uint32Array(this.cache.rows);
    const length = new Uint32Array(this.cache.rows);
    let start = 0;
    for (const { ids, rows } of prompts) {
      for (const row of rows) {
        source[row] = start;
        length[row] = ids.length;
      }
      start += ids.length;
    }
    const { inputs, program } = this.prepare(batch);
    const ready = await program;
    inputs.fill(batch);
    device.write(this.source, source);
    device.write(this.length, length);
    ready.run();
  }

  private prepare(batch: PackedBatch): { inputs: PackedInputs; program: Promise<Program> } {
    const key = shapeKey(batch);
    const known = this.byShape.get(key);
    if (known !== undefined) return known;
    const inputs = createPackedInputs(this.workspace.device, batch);
    const tape = new Tape(this.workspace);
    this.backbone.hidden(tape, this.weights, inputs.tokens, { cache: this.cache, source: this.source, length: this.length });
    const made = { inputs, program: tape.finish(`prefill ${batch.count}`) };
    this.byShape.set(key, made);
    return made;
  }
}
