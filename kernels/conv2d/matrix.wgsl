// A 2D convolution on subgroup matrices (tensor cores), as an implicit product: f16 pictures as conv2d/matrix-operand.wgsl writes them, filters in
// blocks as linear/matrix-operand.wgsl does, sums in f32.
//   out[p, o] = Σ_tap Σ_c x[source(p, tap), c] · weight[o, tap, c] (+ bias[o]) (+ residual[p, o]), source as in conv2d/broadcast-16x32.wgsl
// Rows of the product are pixels with the zeros around them: the pixels that a tap meets are a matrix further on in memory, loaded as it lies, and no
// patch is ever written down. Rows that are no pixels of the result are summed and stored nowhere. Under shift 1 even and odd rows and columns are
// made apart, each by the taps that meet them. A sum runs over taps, then channels, and depends on nothing of other pictures.
diagnostic(off, chromium.subgroup_matrix_uniformity);
//! use lib/matrix-parts.wgsl
//! use lib/matrix-sum.wgsl
const M: u32 = 8u;         // these as in linear/matrix-blocks.wgsl
const N: u32 = 8u;
const K: u32 = 8u;
const SUBGROUP: u32 = 32u;
const PARTS: u32 = 1u;
const OWN_ROWS: u32 = 32u;
const OWN_COLUMNS: u32 = 32u;
const DOWN: u32 = 2u;
const ACROSS: u32 = 2u;

struct Params {
  rows: u32,         // up to the last pixel of the result
  columns: u32,      // O
  first_image: u32,  // the first one of out
  out_height: u32,
  out_width: u32,
  lines: u32,        // of a picture in x, these four as conv2d/matrix-operand.wgsl has them
  line_pixels: u32,
  plane_rows: u32,
  depth: u32,
  lowest: i32,
  kernel: u32,
  step: i32,         // 1 under shift 1
  sign: i32,
  offset: i32,
  shift: u32,        // 0 or 1
  adds: u32,         // 1: the bias; 2: the residual
}

@group(0) @binding(0) var<storage, read> x: array<f16>;
@group(0) @binding(1) var<storage, read> x_exponents: array<i32>;       // [B]
@group(0) @binding(2) var<storage, read> weight: array<f16>;
@group(0) @binding(3) var<storage, read> weight_exponents: array<i32>;  // [O]
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read> residual: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;
@group(0) @binding(7) var<uniform> params: Params;

// Row and column of the pixels that the workgroup makes, divided by two: the rest.
var<private> odd: vec2u;

// By row and column, the first tap that meets them, and how many do.
fn first_taps() -> vec2u {
  return (odd + u32(params.offset & 1)) & vec2u(params.shift);
}

fn taps() -> vec2u {
  return (params.kernel - first_taps() + params.shift) >> vec2u(params.shift);
}

fn tap_at(step: u32) -> vec2u {
  let place = step / (params.depth / K);
  let across = taps().y;
  return first_taps() + (vec2u(place / across, place % across) << vec2u(params.shift));
}

fn left(part: u32, block: u32, step: u32) -> subgroup_matrix_left<f16, K, M> {
  let distance = vec2i(tap_at(step)) * params.sign + params.offset + vec2i(odd);
  // Under shift 1 a distance is even.
  let halved = u32(params.step - 1) | params.shift;
  let plane = (distance.x & i32(halved)) * params.step + (distance.y & i32(halved));
  let moved = (distance >> vec2u(halved)) - params.lowest;
  // Past the last row the last block stands in.
  let row = i32(min(block, (params.rows - 1u) / M) * M) + moved.x * i32(params.line_pixels) + moved.y;
  let planes = u32(params.step * params.step);
  let pixel = (part * planes + u32(plane)) * params.plane_rows + u32(row);
  let channel = step % (params.depth / K) * K;
  return subgroupMatrixLoad<subgroup_matrix_left<f16, K, M>, row_major>(&x, pixel * params.depth + channel, params.depth);
}

fn right(part: u32, block: u32, step: u32) -> subgroup_matrix_right<f16, N, K> {
  let blocks = (params.columns + N - 1u) / N;
  let steps = params.depth / K;
  let tap = tap_at(step);
  let line = (part * blocks + min(block, blocks - 1u)) * params.kernel * params.kernel;
  let place = (line + tap.x * params.kernel + tap.y) * steps + step % steps;
  return subgroupMatrixLoad<subgroup_matrix_right<f16, N, K>, col_major>(&weight, place * N * K, K);
}

fn store(row: u32, column: u32, sum: f32) {
  if (row >= params.rows || column >= params.columns) { return; }
  let line = row / params.line_pixels;
  let image = params.first_image + line / params.lines;
  let pixel = (vec2u(line % params.lines, row % params.line_pixels) << vec2u(params.shift)) + odd;
  if (pixel.x >= params.out_height || pixel.y >= params.out_width) { return; }
  let index = ((image * params.out_height + pixel.x) * params.out_width + pixel.y) * params.columns + column;
  var value = unscaled(sum, x_exponents[image] + weight_exponents[column]);
  if ((params.adds & 1u) != 0u) { value += bias[column]; }
  if ((params.adds & 2u) != 0u) { value += residual[index]; }
  out[index] = value;
}

@compute @workgroup_size(threads)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32, @builtin(subgroup_id) subgroup: u32) {
  let rounds = 1u << (2u * params.shift);
  let round = group.x % rounds;
  odd = vec2u(round >> 1u, round & 1u);
  let steps = taps().x * taps().y * (params.depth / K);
  sum_tile((group.z * 65535u + group.y) * tile_rows, group.x / rounds * tile_columns, 0u, steps, thread, subgroup);
}
