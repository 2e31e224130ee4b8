import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import type { Device } from '../gpu/device.ts';
import type { KernelConstants } from '../gpu/kernel.ts';
import { dimension, type Tensor } from '../tensor/tensor.ts';
import { matrixConstants, matrixOperand, operandConstants, widestMatrixHead } from './attention-matrix.ts';

/** Of every row: the first row of its segment and the one after the last, u32 [N]; PackedTokens is one. */
export interface Segments {
  readonly segmentStart: Tensor;
  readonly segmentEnd: Tensor;
}

export interface AttentionOptions {
  readonly heads: number;
  /** A divisor of `heads`. */
  readonly keyValueHeads: number;
  readonly headDimension: number;
  readonly causal: boolean;
  /** 1 / sqrt(headDimension) by default. */
  readonly scale?: number;
}

/**
 * Attention within packed segments, without a score matrix: q [N, heads · d], k and v [N, keyValueHeads · d] → [N, heads · d].
 * Row n sees the keys of its segment up to itself (causal) or all of them. Online softmax; the forward keeps the logarithm of
 * each row's sum, the backward recomputes the probabilities and gathers: dQ over keys, dK and dV over rows.
 * d % 4 == 0. Four families: tensor cores where the tape's products are computed on them (`attention-matrix.ts`, heads up to 128); on a software
 * adapter with subgroups tiles of eight rows share what they load by broadcasts; on a GPU workgroups share keys and values (heads up to 128);
 * else a thread serves a row and head.
 */
export function attention(
  tape: Tape,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  segments: Segments,
  options: AttentionOptions,
): Tensor {
  const { heads, keyValueHeads, headDimension } = options;
  const rows = dimension(q, 0);
  refuseMisfits(q, k, v, options);
  const out = tape.empty('attention', q.shape);
  const logSum = tape.empty('attention log sums', [rows, heads], 'f32', { exact: true });
  const scale = options.scale ?? 1 / Math.sqrt(headDimension);
  const causal = options.causal ? 1 : 0;
  const family = familyFor(tape, headDimension);
  const range = { segment_start: segments.segmentStart, segment_end: segments.segmentEnd };
  const params = { rows, heads, kv_heads: keyValueHeads, scale, ...family.params };
  const operand = (x: Tensor): Tensor => family.operand?.(x) ?? x;
  tape.launch({
    // attention/forward-matrix, attention/forward-broadcast, attention/forward-workgroup, attention/forward
    kernel: `attention/forward${family.suffix}`,
    constants: family.constants.forward,
    bindings: { q: operand(q), k: operand(k), v: operand(v), ...range, out, log_sum: logSum },
    params: { ...params, causal },
    groups: grid(family.groups(rows, heads, 'forward')),
  });
  tape.differentiable([q, k, v], out, (dOut, needs) => {
    // Once more: kept from the forward they would take as much memory as q, k and v.
    const operands = { q: operand(q), k: operand(k), v: operand(v), d_out: operand(dOut) };
    const statistics = tape.empty('attention statistics', [rows, heads, 4], 'u32');
    const { kernel, ...ofFamily } = family.statistics;
    tape.launch({
      kernel,
      bindings: { out, d_out: operands.d_out, log_sum: logSum, ...range, statistics },
      params: { rows, heads, causal, ...family.params },
      groups: grid(Math.ceil((rows * heads) / 64)),
      ...ofFamily,
    });
    const read = { ...operands, statistics };
    const dQ = tape.empty('d queries', q.shape);
    if (needs[0]) {
      tape.launch({
        // attention/query-gradient-matrix, attention/query-gradient-broadcast, attention/query-gradient-workgroup, attention/query-gradient
        kernel: `attention/query-gradient${family.suffix}`,
        constants: family.constants.queryGradient,
        bindings: { ...read, d_q: dQ },
        params,
        groups: grid(family.groups(rows, heads, 'queryGradient')),
      });
    }
    const dK = tape.empty('d keys', k.shape);
    const dV = tape.empty('d values', v.shape);
    if (needs[1] || needs[2]) {
      tape.launch({
        // attention/key-value-gradient-matrix, attention/key-value-gradient-broadcast, attention/key-value-gradient-workgroup, attention/key-value-gradient
        kernel: `attention/key-value-gradient${family.suffix}`,
        constants: family.constants.keyValueGradient,
        bindings: { ...read, segment_end: segments.segmentEnd, d_k: dK, d_v: dV },
        params: { ...params, causal },
        groups: grid(family.groups(rows, keyValueHeads, 'keyValueGradient')),
      });
    }
    return [dQ, dK, dV];
  });
  return out;
}

type Pass = 'forward' | 'queryGradient' | 'keyValueGradient';

interface Family {
  readonly suffix: string;
  readonly constants: Readonly<Record<Pass, KernelConstants>>;
  readonly statistics: Readonly<{ kernel: string; constants?: KernelConstants }>;
  /** Beside those that every kernel takes. */
  readonly params: Readonly<Record<string, number>>;
  /** What the kernels read in place of a tensor, where they read something else. */
  readonly operand?: (x: Tensor) => Tensor;
  /** Workgroups for so many rows and heads. */
  groups(rows: number, heads: number, pass: Pass): number;
}

function familyFor(tape: Tape, HEAD: number): Family {
  const { products } = tape;
  if (products === undefined || HEAD > widestMatrixHead) return plainFamily(tape.device, HEAD);
  return {
    suffix: '-matrix',
    constants: same(matrixConstants(tape, products, HEAD)),
    statistics: { kernel: 'attention/statistics-matrix', constants: operandConstants(products, HEAD) },
    params: {},
    operand: (x) => matrixOperand(tape, products, x, HEAD),
    groups: (rows, heads) => Math.ceil(rows / 32) * heads,
  };
}

function same(constants: KernelConstants): Family['constants'] {
  return { forward: constants, queryGradient: constants, keyValueGradient: constants };
}

/** In f32. */
function plainFamily(device: Device, HEAD: number): Family {
  const ofAll = { params: { width: HEAD / 4 }, statistics: { kernel: 'attention/statistics' } };
  const { isSoftware, description } = device.adapter;
  // A GPU keeps arrays in registers when loops unroll. A software adapter only compiles longer, also where it is taken for a GPU.
  const UNROLL = !isSoftware && !/llvmpipe|swiftshader/i.test(description);
  if (device.hasBroadcastTiles) {
    return {
      suffix: '-broadcast',
      constants: same({ HEAD }),
      ...ofAll,
      groups: (rows, heads) => Math.ceil(rows / 8) * heads,
    };
  }
  if (isSoftware || HEAD > 128) {
    return {
      suffix: '',
      constants: same({ HEAD, UNROLL: UNROLL && HEAD <= 128 }),
      ...ofAll,
      groups: (rows, heads) => Math.ceil((rows * heads) / 64),
    };
  }
  // Rows of a team of four threads: as many as leave their arrays in registers.
  const isNarrow = HEAD <= 64;
  const teamRows: Readonly<Record<Pass, number>> = {
    forward: isNarrow ? 4 : 2,
    queryGradient: 2,
    keyValueGradient: isNarrow ? 2 : 1,
  };
  const constants = (pass: Pass): KernelConstants => ({ HEAD, ROWS: teamRows[pass], UNROLL });
  return {
    suffix: '-workgroup',
    constants: {
      forward: constants('forward'),
      queryGradient: constants('queryGradient'),
      keyValueGradient: constants('keyValueGradient'),
    },
    ...ofAll,
    groups: (rows, heads, pass) => Math.ceil(rows / (16 * teamRows[pass])) * heads,
  };
}

function refuseMisfits(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { heads, keyValueHeads, headDimension }: AttentionOptions,
): void {
  const rows = dimension(q, 0);
  if (headDimension % 4 !== 0 || heads % keyValueHeads !== 0) {
    throw new RangeError(`attention: ${heads} heads of ${headDimension} over ${keyValueHeads} key/value heads`);
  }
  for (const [tensor, count] of [
    [q, heads],
    [k, keyValueHeads],
    [v, keyValueHeads],
  ] as const) {
    if (dimension(tensor, 0) !== rows || dimension(tensor, -1) !== count * headDimension) {
      throw new RangeError(`attention: ${tensor.name} [${tensor.shape}] is not [${rows}, ${count * headDimension}]`);
    }
  }
}
