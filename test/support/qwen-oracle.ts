/**
 * Qwen2.5-VL and Qwen3-VL in float64 and plain loops, for one sequence: what the kernels must agree with at sizes no fixture has. Patches are never
 * sorted here: who sees whom is asked of every pair.
 */
import { geluOf, meanOf, softmaxOf, standardised } from '../../core/testing/oracles.ts';
import type { LookingConfig } from '../../plugins/qwen-vl/config.ts';
import type { OracleWeights } from './janus-oracle.ts';

type Row = readonly number[];

/** A patch with its place on the grid of its picture. */
export interface OraclePatch {
  readonly values: Row;
  readonly picture: number;
  readonly row: number;
  readonly column: number;
}

/** What enters the decoder, where it stands in time, row and column, and what is added behind its first layers. */
export interface OracleToken {
  readonly x: Row;
  readonly at: readonly [number, number, number];
  readonly behind?: readonly Row[];
}

interface Heads {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly width: number;
  readonly sees: (query: number, key: number) => boolean;
}

const tower = 'model.visual.';

export class QwenOracle {
  private readonly config: LookingConfig;
  private readonly weights: OracleWeights;

  constructor(config: LookingConfig, weights: OracleWeights) {
    this.config = config;
    this.weights = weights;
  }

  /** Vectors of pictures whose squares of patches follow each other, each with what is added behind the first layers. */
  vectors(patches: readonly OraclePatch[], sizes: readonly { rows: number; columns: number }[]): Row[][] {
    const { vision } = this.config;
    const { width, heads, merge, windows, table, deepstack } = vision;
    const d = width / heads;
    const isSecond = windows !== undefined;
    let x = patches.map(({ values }) => this.linear(values, `${tower}patch_embed.proj`, width, !isSecond));
    if (table !== undefined)
      x = x.map((each, i) => sum(each, this.place(patches[i], sizes[patches[i]?.picture ?? 0], table.side, width)));
    const windowOf = ({ row, column }: OraclePatch): string => {
      const side = (windows?.side ?? 1) * merge;
      return `${Math.floor(row / side)} ${Math.floor(column / side)}`;
    };
    const deep: Row[][] = [];
    for (let layer = 0; layer < vision.layers; layer++) {
      const at = `${tower}blocks.${layer}.`;
      const isWhole = windows === undefined || windows.fullBlocks.includes(layer);
      const sees = (query: number, key: number): boolean => {
        const [a, b] = [patches[query], patches[key]];
        return (
          a !== undefined && b !== undefined && a.picture === b.picture && (isWhole || windowOf(a) === windowOf(b))
        );
      };
      const fused = x.map((each) => this.linear(this.norm(each, `${at}norm1`, isSecond), `${at}attn.qkv`, 3 * width));
      const part = (index: number): Row[] => fused.map((row) => row.slice(index * width, (index + 1) * width));
      // Half of the pairs by row, half by column, each with all frequencies.
      const turn = (rows: Row[]): Row[] =>
        rows.map((row, i) =>
          rotate(row, d, (j) => {
            const place = (j < d / 4 ? patches[i]?.row : patches[i]?.column) ?? 0;
            return place * vision.ropeTheta ** (-(j % (d / 4)) / (d / 4));
          }),
        );
      const seen = attend(turn(part(0)), turn(part(1)), part(2), { heads, keyValueHeads: heads, width: d, sees });
      x = x.map((each, i) => {
        const middle = sum(each, this.linear(seen[i] ?? [], `${at}attn.proj`, width));
        const y = this.norm(middle, `${at}norm2`, isSecond);
        const inner = isSecond
          ? this.linear(y, `${at}mlp.gate_proj`, vision.mlp).map(
              (gate, j) => silu(gate) * (this.linear(y, `${at}mlp.up_proj`, vision.mlp)[j] ?? 0),
            )
          : this.linear(y, `${at}mlp.linear_fc1`, vision.mlp).map(tanhGelu);
        return sum(middle, this.linear(inner, `${at}mlp.${isSecond ? 'down_proj' : 'linear_fc2'}`, width));
      });
      const index = deepstack.indexOf(layer);
      if (index >= 0) deep[index] = this.merge(x, `${tower}deepstack_merger_list.${index}.`, false);
    }
    const merged = this.merge(x, `${tower}merger.`, true);
    return merged.map((vector, i) => [vector, ...deep.map((each) => each[i] ?? [])]);
  }

  /** Hidden states behind the last norm. */
  hidden(tokens: readonly OracleToken[]): Row[] {
    const { text, family } = this.config;
    const { heads, keyValueHeads, headDimension: d, sections = [], hidden } = text;
    const isThird = family === 'qwen3-vl';
    const [first = 0, second = 0, third = 0] = sections;
    const axisOf = (j: number): 0 | 1 | 2 => {
      if (!isThird) return j < first ? 0 : j < first + second ? 1 : 2;
      if (j % 3 === 1 && j < 3 * second) return 1;
      return j % 3 === 2 && j < 3 * third ? 2 : 0;
    };
    let x = tokens.map((token) => token.x);
    for (let layer = 0; layer < text.layers; layer++) {
      const at = `model.language_model.layers.${layer}.`;
      const before = x.map((row) => this.rms(row, `${at}input_layernorm`, text.normEpsilon));
      const project = (name: string, count: number): Row[] =>
        before.map((row) => this.linear(row, `${at}self_attn.${name}_proj`, count * d, !isThird));
      const turn = (rows: Row[], name: string): Row[] =>
        rows.map((row, i) => {
          const normed = isThird
            ? chunks(row, d).flatMap((part) => this.rms(part, `${at}self_attn.${name}_norm`, text.normEpsilon))
            : row;
          return rotate(normed, d, (j) => (tokens[i]?.at[axisOf(j)] ?? 0) * text.ropeTheta ** (-j / (d / 2)));
        });
      const seen = attend(
        turn(project('q', heads), 'q'),
        turn(project('k', keyValueHeads), 'k'),
        project('v', keyValueHeads),
        {
          heads,
          keyValueHeads,
          width: d,
          sees: (query, key) => key <= query,
        },
      );
      x = x.map((row, i) => {
        const middle = sum(row, this.linear(seen[i] ?? [], `${at}self_attn.o_proj`, hidden, false));
        const y = this.rms(middle, `${at}post_attention_layernorm`, text.normEpsilon);
        const up = this.linear(y, `${at}mlp.up_proj`, text.mlp, false);
        const inner = this.linear(y, `${at}mlp.gate_proj`, text.mlp, false).map((gate, j) => silu(gate) * (up[j] ?? 0));
        const out = sum(middle, this.linear(inner, `${at}mlp.down_proj`, hidden, false));
        return sum(out, tokens[i]?.behind?.[layer] ?? []);
      });
    }
    return x.map((row) => this.rms(row, 'model.language_model.norm', text.normEpsilon));
  }

  embedding(id: number): Row {
    const { hidden } = this.config.text;
    return this.values('model.language_model.embed_tokens.weight').slice(id * hidden, (id + 1) * hidden);
  }

  logits(state: Row): Row {
    const { isTied, vocabulary } = this.config.text;
    return this.linear(state, isTied ? 'model.language_model.embed_tokens' : 'lm_head', vocabulary, false);
  }

  /** The table of places stretched over the picture, corner on corner. */
  private place(
    patch: OraclePatch | undefined,
    size: { rows: number; columns: number } | undefined,
    side: number,
    width: number,
  ): Row {
    if (patch === undefined || size === undefined) throw new Error('no patch');
    const table = chunks(this.values(`${tower}pos_embed.weight`), width);
    const y = size.rows === 1 ? 0 : (patch.row * (side - 1)) / (size.rows - 1);
    const x = size.columns === 1 ? 0 : (patch.column * (side - 1)) / (size.columns - 1);
    const near = (place: number, at: number): number => Math.max(0, 1 - Math.abs(place - at));
    return Array.from({ length: width }, (_, c) =>
      table.reduce((all, row, i) => all + near(Math.floor(i / side), y) * near(i % side, x) * (row[c] ?? 0), 0),
    );
  }

  private merge(x: readonly Row[], at: string, isLast: boolean): Row[] {
    const { width, merge, hidden, windows } = this.config.vision;
    const isSecond = windows !== undefined;
    const [norm, first, second] = isSecond ? ['ln_q', 'mlp.0', 'mlp.2'] : ['norm', 'linear_fc1', 'linear_fc2'];
    const square = merge ** 2;
    return Array.from({ length: x.length / square }, (_, i) => {
      const rows = x.slice(i * square, (i + 1) * square);
      const joined = isLast
        ? rows.flatMap((row) => this.norm(row, `${at}${norm}`, isSecond))
        : this.norm(rows.flat(), `${at}${norm}`, false);
      return this.linear(this.linear(joined, `${at}${first}`, square * width).map(geluOf), `${at}${second}`, hidden);
    });
  }

  private norm(x: Row, name: string, isRms: boolean): Row {
    if (isRms) return this.rms(x, name, 1e-6);
    const [weight, bias] = [this.values(`${name}.weight`), this.values(`${name}.bias`)];
    return [...standardised(Float64Array.from(x), 1e-6)].map((value, i) => value * (weight[i] ?? 0) + (bias[i] ?? 0));
  }

  private rms(x: Row, name: string, epsilon: number): Row {
    const length = Math.sqrt(meanOf(x.map((value) => value * value)) + epsilon);
    return x.map((value, i) => (value / length) * (this.values(`${name}.weight`)[i] ?? 0));
  }

  private linear(x: Row, name: string, rows: number, hasBias = true): Row {
    const weight = this.values(`${name}.weight`);
    const bias = hasBias ? this.values(`${name}.bias`) : [];
    return Array.from({ length: rows }, (_, o) =>
      x.reduce((all, value, i) => all + value * (weight[o * x.length + i] ?? Number.NaN), bias[o] ?? 0),
    );
  }

  private values(name: string): number[] {
    const found = this.weights.get(name);
    if (found === undefined) throw new Error(`the oracle has no ${name}`);
    return found.data as number[];
  }
}

function attend(
  q: readonly Row[],
  k: readonly Row[],
  v: readonly Row[],
  { heads, keyValueHeads, width, sees }: Heads,
): Row[] {
  return q.map((query, i) =>
    Array.from({ length: heads }, (_, head) => {
      const shared = Math.floor(head / (heads / keyValueHeads));
      const keys = k.flatMap((_key, j) => (sees(i, j) ? [j] : []));
      const of = (row: Row | undefined, index: number): Row => (row ?? []).slice(index * width, (index + 1) * width);
      const shares = softmaxOf(
        keys.map((j) => {
          const key = of(k[j], shared);
          return of(query, head).reduce((all, value, c) => all + value * (key[c] ?? 0), 0) / Math.sqrt(width);
        }),
      );
      return Array.from({ length: width }, (__, c) =>
        keys.reduce((all, j, index) => all + (shares[index] ?? 0) * (of(v[j], shared)[c] ?? 0), 0),
      );
    }).flat(),
  );
}

/** Pairs (j, j + width/2) of every head by an angle. */
function rotate(row: Row, width: number, angleOf: (pair: number) => number): Row {
  const half = width / 2;
  return row.map((value, i) => {
    const within = i % width;
    const angle = angleOf(within % half);
    const other = within < half ? -(row[i + half] ?? 0) : (row[i - half] ?? 0);
    return value * Math.cos(angle) + other * Math.sin(angle);
  });
}

function chunks(row: Row, width: number): Row[] {
  return Array.from({ length: row.length / width }, (_, i) => row.slice(i * width, (i + 1) * width));
}

function sum(a: Row, b: Row): Row {
  return b.length === 0 ? a : a.map((value, i) => value + (b[i] ?? 0));
}

function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

function tanhGelu(x: number): number {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}
