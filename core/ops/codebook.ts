import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, sizeOf, type Tensor } from '../tensor/tensor.ts';

export interface QuantizeOptions {
  /** Weight of the loss in what is differentiated; 1 by default. */
  readonly weight?: number;
  /** 0.25 by default. */
  readonly commitment?: number;
}

export interface CodebookOutput {
  /** f32, the shape of the latent: the normalized vectors of the codes. */
  readonly out: Tensor;
  /** u32 [N] */
  readonly codes: Tensor;
  /** f32 [N] loss of each row, unweighted. */
  readonly losses: Tensor;
  /** f32 [N, D] normalized latent. */
  readonly latent: Tensor;
}

/** rows [N, D] → rows of length one [N, D], and their former lengths [N]. No gradient flows back; `quantize` has its way back. */
export function normalizeRows(tape: Tape, rows: Tensor): { normal: Tensor; length: Tensor } {
  const size = dimension(rows, -1);
  const count = sizeOf(rows.shape) / size;
  if (size % 4 !== 0 || size > 32)
    throw new RangeError(`${rows.name} [${rows.shape}]: code vectors have 4, 8, … 32 values`);
  const normal = tape.empty(`${rows.name} normalized`, [count, size]);
  const length = tape.empty(`${rows.name} length`, [count]);
  tape.launch({
    kernel: 'codebook/normalize',
    bindings: { rows, normal, length },
    params: { rows: count, dimension: size },
    groups: grid(Math.ceil(count / 64)),
  });
  return { normal, length };
}

/** u32 [N]: the code of largest cosine, the lowest index among equals. Both sides normalized by the caller. No gradient flows back. */
export function assignCodes(tape: Tape, latent: Tensor, codebook: Tensor): Tensor {
  const [rows, size] = [dimension(latent, 0), dimension(latent, 1)];
  const codes = tape.empty('codes', [rows], 'u32');
  tape.launch({
    kernel: 'codebook/assign',
    bindings: { z: latent, codebook, codes },
    params: { rows, codes: dimension(codebook, 0), dimension: size },
    groups: grid(Math.ceil(rows / 64)),
  });
  return codes;
}

/** f32 [N, D]: the codebook's rows at u32 codes [N]. No gradient flows back. */
export function lookUpCodes(tape: Tape, codes: Tensor, codebook: Tensor): Tensor {
  const [rows, size] = [dimension(codes, 0), dimension(codebook, 1)];
  const out = tape.empty('code vectors', [rows, size]);
  tape.launch({
    kernel: 'codebook/lookup',
    bindings: { codes, codebook, out },
    params: { rows, codes: dimension(codebook, 0), dimension: size },
    groups: grid(Math.ceil((rows * size) / 256)),
  });
  return out;
}

/**
 * A codebook of K vectors compared by direction: latents z[N, D] and codebook[K, D] are both normalized to length one.
 * `quantize` is the training form: codes, their vectors, and the loss |q - sg z|² + commitment · |sg q - z|² averaged over rows.
 * Backward: the gradient of the quantized value passes straight to the normalized latent; the two terms of the loss go to the
 * codebook and to the latent; both through their normalization. D % 4 == 0, at most 32.
 */
export function quantizeToCodebook(
  tape: Tape,
  z: Tensor,
  codebook: Tensor,
  options: QuantizeOptions = {},
): CodebookOutput {
  const { weight = 1, commitment = 0.25 } = options;
  const size = dimension(codebook, 1);
  if (dimension(z, -1) !== size)
    throw new RangeError(`quantize: ${z.name} [${z.shape}] does not fit ${codebook.name} [${codebook.shape}]`);
  const { normal: latent, length } = normalizeRows(tape, z);
  const { normal, length: codeLength } = normalizeRows(tape, codebook);
  const rows = dimension(latent, 0);
  const groups = grid(Math.ceil(rows / 64));
  const codes = assignCodes(tape, latent, normal);
  const quantized = lookUpCodes(tape, codes, normal);
  const losses = tape.empty('quantization losses', [rows]);
  tape.launch({
    kernel: 'codebook/loss',
    bindings: { z: latent, quantized, losses },
    params: { rows, dimension: size, commitment },
    groups,
  });
  const out = { ...quantized, shape: z.shape };
  tape.differentiable([z, codebook], out, (dOut, needs) => {
    const factor = (2 * weight) / rows;
    const dCodebook = tape.gradientOf(codebook);
    if (dCodebook !== undefined) {
      const count = dimension(codebook, 0);
      tape.launch({
        kernel: 'codebook/code-gradient',
        bindings: { codes, z: latent, normal, length: codeLength, d_codebook: dCodebook },
        params: { rows, codes: count, dimension: size, factor },
        groups: grid(Math.ceil(count / 64)),
      });
    }
    if (!needs[0]) return [];
    const dLatent = tape.empty(`d ${z.name}`, z.shape);
    tape.launch({
      kernel: 'codebook/latent-gradient',
      bindings: { d_out: dOut, z: latent, quantized, length, d_latent: dLatent },
      params: { rows, dimension: size, factor: factor * commitment },
      groups,
    });
    return [dLatent];
  });
  return { out, codes, losses, latent };
}
