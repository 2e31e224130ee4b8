/**
 * Fills the cache rows of a sampler with prompts. What prompts share is computed once: equal prompts, and a prompt that is the
 * beginning of another, take their keys and values from the same pass. Prompts of any lengths are packed end to end, and one
 * program per bucket of tokens serves them all.
 */
import type { Program } from '../autograd/program.ts';
import type { Workspace } from '../autograd/workspace.ts';
import { Tape } from '../autograd/tape.ts';
import type { Backbone, KeyValueCache, Weights } from '../contracts/backbone.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { copyFeatures, type PromptFeatures } from './features.ts';
import { packSequences, type PackedBatch, type Sequence } from './packing.ts';
import { createPackedInputs, shapeKey, type PackedInputs } from './packed-inputs.ts';

export interface PrefillRow {
  readonly row: number;
  /** May be empty: the row then stays as it is. */
  readonly ids: readonly number[];
  readonly features?: PromptFeatures | undefined;
}

/** A prompt that is computed, and how much of it each row takes. */
interface Pass {
  readonly ids: readonly number[];
  readonly features: PromptFeatures | undefined;
  readonly rows: { readonly row: number; readonly length: number }[];
}

/** Longer lists of prompts are run in parts of about this many tokens. */
const tokensAtOnce = 2048;
/** Shapes whose programs are kept: pictures of any size make as many as there are sizes. */
const keptShapes = 32;

/** Filler of one token. */
const filler: Sequence = { text: [0], firstTarget: 1, codes: [], trailing: [] };

export interface PrefillOptions {
  /** Every prompt begins at a multiple of so many packed rows; at 8 no bit of it depends on what is packed before it. One behind the other unless told. */
  readonly startsAt?: number;
}

export class Prefill {
  private readonly workspace: Workspace;
  private readonly backbone: Backbone;
  private readonly weights: Weights;
  private readonly cache: KeyValueCache;
  private readonly source: Tensor;
  private readonly length: Tensor;
  private readonly startsAt: number;
  /** The one used last at the end. */
  private readonly byShape = new Map<string, { inputs: PackedInputs; program: Promise<Program> }>();

  constructor(
    workspace: Workspace,
    backbone: Backbone,
    weights: Weights,
    cache: KeyValueCache,
    options: PrefillOptions = {},
  ) {
    this.startsAt = options.startsAt ?? 1;
    this.workspace = workspace;
    this.backbone = backbone;
    this.weights = weights;
    this.cache = cache;
    this.source = workspace.device.tensor('prefill source', [cache.rows], 'u32');
    this.length = workspace.device.tensor('prefill length', [cache.rows], 'u32');
  }

  /** Makes the program for `tokens` tokens, or for the most that are run at once. */
  async reserve(tokens: number): Promise<void> {
    const text = new Array<number>(Math.min(tokens, tokensAtOnce)).fill(0);
    await this.prepare(packSequences([{ text, firstTarget: text.length, codes: [], trailing: [] }])).program;
  }

  /** Returns how many prompts were computed, and of how many tokens. */
  async run(rows: readonly PrefillRow[]): Promise<{ readonly count: number; readonly tokens: number }> {
    const passes = sharedPasses(rows);
    let part: Pass[] = [];
    let tokens = 0;
    for (const pass of passes) {
      if (tokens > 0 && tokens + pass.ids.length > tokensAtOnce) {
        await this.runPart(part);
        part = [];
        tokens = 0;
      }
      part.push(pass);
      tokens += pass.ids.length;
    }
    if (part.length > 0) await this.runPart(part);
    return { count: passes.length, tokens: passes.reduce((sum, { ids }) => sum + ids.length, 0) };
  }

  close(): void {
    const { device } = this.workspace;
    for (const made of this.byShape.values()) this.forget(made);
    this.byShape.clear();
    device.destroyTensor(this.source);
    device.destroyTensor(this.length);
  }

  private async runPart(passes: readonly Pass[]): Promise<void> {
    const { device } = this.workspace;
    const batch = packSequences(
      passes.flatMap(({ ids, features }) => [
        {
          text: ids,
          firstTarget: ids.length,
          codes: [],
          trailing: [],
          features: features?.at ?? [],
          positions: features?.positions,
        },
        ...Array.from({ length: this.room(ids) - ids.length }, () => filler),
      ]),
    );
    const source = new Uint32Array(this.cache.rows);
    const length = new Uint32Array(this.cache.rows);
    let start = 0;
    for (const { ids, rows } of passes) {
      for (const each of rows) {
        source[each.row] = start;
        length[each.row] = each.length;
      }
      start += this.room(ids);
    }
    const { inputs, program } = this.prepare(batch);
    const ready = await program;
    inputs.fill(batch);
    if (inputs.tokens.features !== undefined)
      copyFeatures(
        device,
        passes.flatMap(({ features }) => features ?? []),
        inputs.tokens.features,
      );
    device.write(this.source, source);
    device.write(this.length, length);
    ready.run();
  }

  /** Rows that a prompt takes. */
  private room({ length }: readonly number[]): number {
    return Math.ceil(length / this.startsAt) * this.startsAt;
  }

  private prepare(batch: PackedBatch): { inputs: PackedInputs; program: Promise<Program> } {
    const key = shapeKey(batch);
    const known = this.byShape.get(key);
    if (known !== undefined) {
      this.byShape.delete(key);
      this.byShape.set(key, known);
      return known;
    }
    const inputs = createPackedInputs(this.workspace.device, batch, this.backbone);
    const tape = new Tape(this.workspace);
    this.backbone.hidden(tape, this.weights, inputs.tokens, {
      cache: this.cache,
      source: this.source,
      length: this.length,
    });
    const made = { inputs, program: tape.finish(`prefill ${batch.count}`) };
    this.byShape.set(key, made);
    const [oldest] = this.byShape;
    if (this.byShape.size > keptShapes && oldest !== undefined) {
      this.byShape.delete(oldest[0]);
      this.forget(oldest[1]);
    }
    return made;
  }

  private forget({ inputs, program }: { readonly inputs: PackedInputs; readonly program: Promise<Program> }): void {
    inputs.close();
    void program.then((made) => made.dispose());
  }
}

/** The longest prompts, each with the rows that take all or the beginning of it: keys and values never depend on what follows. */
function sharedPasses(rows: readonly PrefillRow[]): Pass[] {
  const passes: Pass[] = [];
  const byText = new Map<string, Pass>();
  const longestFirst = rows.filter(({ ids }) => ids.length > 0).toSorted((a, b) => b.ids.length - a.ids.length);
  for (const { row, ids, features } of longestFirst) {
    // Equal ids with other features are another prompt.
    const text = `${features === undefined ? '' : `features from ${features.first}: `}${ids.join(' ')} `;
    const known =
      byText.get(text) ??
      (features === undefined ? [...byText].find(([longer]) => longer.startsWith(text))?.[1] : undefined);
    const pass = known ?? { ids, features, rows: [] };
    if (known === undefined) passes.push(pass);
    if (!byText.has(text)) byText.set(text, pass);
    pass.rows.push({ row, length: ids.length });
  }
  return passes;
}
