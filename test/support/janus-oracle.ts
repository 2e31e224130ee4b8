/** A Janus model in float64 and plain loops, for one sequence: what the kernels must agree with at sizes no fixture has. */
import type { Vision } from '../../core/contracts/backbone.ts';
import type { Image } from '../../core/contracts/image.ts';
import type { JanusSizes } from '../../plugins/janus/backbone.ts';

export type OracleWeights = ReadonlyMap<
  string,
  { readonly shape: readonly number[]; readonly data: ArrayLike<number> }
>;
/** What enters the decoder at one position. */
export type OracleToken =
  | { readonly text: number }
  | { readonly code: number }
  | { readonly vector: readonly number[] };

type Row = readonly number[];

/** The patches of a fitted picture, as the oracle takes them. */
export function patchesOf(vision: Vision, picture: Image): number[][] {
  const { shape, values } = vision.layOut([picture])['patches'] ?? { shape: [], values: new Float32Array() };
  const width = shape[1] ?? 0;
  return Array.from({ length: shape[0] ?? 0 }, (_, patch) => [...values.subarray(patch * width, (patch + 1) * width)]);
}

export class JanusOracle {
  private readonly sizes: JanusSizes;
  private readonly weights: OracleWeights;

  constructor(sizes: JanusSizes, weights: OracleWeights) {
    this.sizes = sizes;
    this.weights = weights;
  }

  /** Hidden states after the last norm. */
  hidden(tokens: readonly OracleToken[]): Row[] {
    const { layers, heads, keyValueHeads, hidden } = this.sizes;
    const headDimension = this.sizes.headDimension ?? hidden / heads;
    let x = tokens.map((token) => this.embed(token));
    for (let layer = 0; layer < layers; layer++) {
      const at = `model.language_model.layers.${layer}.`;
      const before = x.map((row) => this.rmsNorm(row, `${at}input_layernorm`));
      const project = (name: string): Row[] => before.map((row) => this.linear(row, `${at}self_attn.${name}_proj`));
      const turn = (rows: Row[]): Row[] => rows.map((row, position) => this.rotate(row, position, headDimension));
      const mixed = attend(turn(project('q')), turn(project('k')), project('v'), {
        heads,
        keyValueHeads,
        headDimension,
        causal: true,
      });
      const middle = x.map((row, i) => sum(row, this.linear(mixed[i] ?? [], `${at}self_attn.o_proj`)));
      x = middle.map((row) => {
        const normed = this.rmsNorm(row, `${at}post_attention_layernorm`);
        const up = this.linear(normed, `${at}mlp.up_proj`);
        const gated = this.linear(normed, `${at}mlp.gate_proj`).map(
          (value, i) => (value / (1 + Math.exp(-value))) * (up[i] ?? 0),
        );
        return sum(row, this.linear(gated, `${at}mlp.down_proj`));
      });
    }
    return x.map((row) => this.rmsNorm(row, 'model.language_model.norm'));
  }

  textLogits(state: Row): Row {
    return this.linear(state, 'lm_head');
  }

  imageLogits(state: Row): Row {
    return this.affine(
      this.affine(state, 'model.generation_head.proj_out').map(gelu),
      'model.generation_head.vision_head',
    );
  }

  /** Vectors of one picture, from its patches. */
  features(patches: readonly Row[]): Row[] {
    const { vision } = this.sizes;
    if (vision === undefined) throw new Error('no vision sizes');
    const { width, heads, layers, normEpsilon } = vision;
    const tower = 'model.vision_model.';
    const places = this.rows(`${tower}embeddings.position_embedding.weight`, width);
    let x = patches.map((patch, i) => sum(this.affine(patch, `${tower}embeddings.patch_embedding`), places[i] ?? []));
    for (let layer = 0; layer < layers; layer++) {
      const at = `${tower}encoder.layers.${layer}.`;
      const before = x.map((row) => this.layerNorm(row, `${at}layer_norm1`, normEpsilon));
      const project = (name: string): Row[] => before.map((row) => this.affine(row, `${at}self_attn.${name}_proj`));
      const mixed = attend(project('q'), project('k'), project('v'), {
        heads,
        keyValueHeads: heads,
        headDimension: width / heads,
        causal: false,
      });
      const middle = x.map((row, i) => sum(row, this.affine(mixed[i] ?? [], `${at}self_attn.projection_layer`)));
      x = middle.map((row) =>
        sum(
          row,
          this.affine(
            this.affine(this.layerNorm(row, `${at}layer_norm2`, normEpsilon), `${at}mlp.fc1`).map(gelu),
            `${at}mlp.fc2`,
          ),
        ),
      );
    }
    return x.map((row) =>
      this.aligner(this.layerNorm(row, `${tower}post_layernorm`, normEpsilon), 'model.aligner', vision.alignerDepth),
    );
  }

  private embed(token: OracleToken): Row {
    if ('vector' in token) return token.vector;
    if ('text' in token)
      return this.rows('model.language_model.embed_tokens.weight', this.sizes.hidden)[token.text] ?? [];
    const code = this.rows('model.generation_embeddings.weight', this.sizes.codeDimension)[token.code] ?? [];
    return this.aligner(code, 'model.generation_aligner', this.sizes.codeAlignerLayers ?? 2);
  }

  private aligner(x: Row, name: string, depth: number): Row {
    let value = this.affine(x, `${name}.fc1`);
    for (let layer = 0; layer < depth - 1; layer++)
      value = this.affine(value.map(gelu), `${name}.hidden_layers.${layer}`);
    return value;
  }

  private rotate(row: Row, position: number, headDimension: number): Row {
    const half = headDimension / 2;
    return row.map((value, i) => {
      const j = i % headDimension;
      const angle = position * this.sizes.ropeTheta ** (-(2 * (j % half)) / headDimension);
      const other = row[j < half ? i + half : i - half] ?? 0;
      return value * Math.cos(angle) + (j < half ? -other : other) * Math.sin(angle);
    });
  }

  private rmsNorm(row: Row, name: string): Row {
    const gain = this.get(`${name}.weight`);
    const scale =
      1 / Math.sqrt(row.reduce((total, value) => total + value * value, 0) / row.length + this.sizes.normEpsilon);
    return row.map((value, i) => value * scale * (gain[i] ?? 0));
  }

  private layerNorm(row: Row, name: string, epsilon: number): Row {
    const [gain, shift] = [this.get(`${name}.weight`), this.get(`${name}.bias`)];
    const mean = row.reduce((total, value) => total + value, 0) / row.length;
    const scale = 1 / Math.sqrt(row.reduce((total, value) => total + (value - mean) ** 2, 0) / row.length + epsilon);
    return row.map((value, i) => (value - mean) * scale * (gain[i] ?? 0) + (shift[i] ?? 0));
  }

  private affine(x: Row, name: string): Row {
    return sum(this.linear(x, name), Array.from(this.get(`${name}.bias`)));
  }

  private linear(x: Row, name: string): Row {
    const weight = this.get(`${name}.weight`);
    return Array.from({ length: weight.length / x.length }, (_, row) =>
      x.reduce((total, value, i) => total + value * (weight[row * x.length + i] ?? 0), 0),
    );
  }

  private rows(name: string, width: number): Row[] {
    const values = this.get(name);
    return Array.from({ length: values.length / width }, (_, row) =>
      Array.from({ length: width }, (_each, i) => values[row * width + i] ?? 0),
    );
  }

  private get(name: string): ArrayLike<number> {
    const found = this.weights.get(name);
    if (found === undefined) throw new Error(`no weight ${name}`);
    return found.data;
  }
}

interface Heads {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDimension: number;
  readonly causal: boolean;
}

function attend(
  q: readonly Row[],
  k: readonly Row[],
  v: readonly Row[],
  { heads, keyValueHeads, headDimension, causal }: Heads,
): Row[] {
  const part = (row: Row | undefined, head: number): Row =>
    (row ?? []).slice(head * headDimension, (head + 1) * headDimension);
  return q.map((row, position) =>
    Array.from({ length: heads }, (_, head) => {
      const shared = Math.floor(head / (heads / keyValueHeads));
      const seen = causal ? k.slice(0, position + 1) : k;
      const query = part(row, head);
      const scores = seen.map(
        (key) =>
          part(key, shared).reduce((total, value, i) => total + value * (query[i] ?? 0), 0) / Math.sqrt(headDimension),
      );
      const largest = Math.max(...scores);
      const shares = scores.map((score) => Math.exp(score - largest));
      const total = shares.reduce((a, b) => a + b, 0);
      return Array.from({ length: headDimension }, (_each, i) =>
        shares.reduce((mixed, share, key) => mixed + (share / total) * (part(v[key], shared)[i] ?? 0), 0),
      );
    }).flat(),
  );
}

function sum(a: Row, b: Row): Row {
  return a.map((value, i) => value + (b[i] ?? 0));
}

function gelu(x: number): number {
  return (x / 2) * (1 + erf(x / Math.SQRT2));
}

/** Maclaurin series; the argument is small here, and sixty terms are exact to the last digits below four. */
function erf(x: number): number {
  if (Math.abs(x) > 5) return Math.sign(x);
  let term = x;
  let total = x;
  for (let n = 1; n < 120; n++) {
    term *= (-x * x) / n;
    total += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * total;
}
