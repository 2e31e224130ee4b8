// Weight gradient of a 2D convolution on subgroup matrices (tensor cores): partial[s, o, tap, c] = Σ_r dOut[r, o] · x[r + a constant of the tap, c] over the pixels
// r of split s of some pictures, zeros around them included; both f16 as conv2d/matrix-operand.wgsl writes them, scaled by channel and with lines of one length,
// so that pixel r of the one meets pixel r + a constant of the other. Both are loaded as they lie; sums in f32, over r in order.
// reduction/sum-splits adds the splits up in order: deterministic. dOut is zero between its pictures, but x may not be: what is broken in a channel
// of x or dOut reaches that channel under every tap.
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
  out_channels: u32,  // O
  in_channels: u32,   // C
  d_out_rows: u32,    // pixels of d_out, a whole number of steps
  d_out_depth: u32,   // channels of a pixel in d_out
  line_pixels: u32,   // these four of x
  plane_rows: u32,
  depth: u32,
  lowest: i32,
  kernel: u32,
  step: i32,
  offset: i32,
  first_split: u32,   // the first one written
  split_steps: u32,   // steps of K pixels in a split
}

@group(0) @binding(0) var<storage, read> d_out: array<f16>;
@group(0) @binding(1) var<storage, read> d_out_exponents: array<i32>;  // [O]
@group(0) @binding(2) var<storage, read> x: array<f16>;
@group(0) @binding(3) var<storage, read> x_exponents: array<i32>;      // [C]
@group(0) @binding(4) var<storage, read_write> partial: array<f32>;    // [splits, O, kernel, kernel, C]
@group(0) @binding(5) var<uniform> params: Params;

var<private> tap: u32;
var<private> split_place: u32;

fn left(part: u32, block: u32, step: u32) -> subgroup_matrix_left<f16, K, M> {
  let pixel = part * params.d_out_rows + step * K;
  let channel = min(block, (params.out_channels - 1u) / M) * M;
  return subgroupMatrixLoad<subgroup_matrix_left<f16, K, M>, col_major>(&d_out, pixel * params.d_out_depth + channel, params.d_out_depth);
}

fn right(part: u32, block: u32, step: u32) -> subgroup_matrix_right<f16, N, K> {
  let distance = vec2i(i32(tap / params.kernel), i32(tap % params.kernel)) + params.offset;
  let halved = params.step - 1;
  let plane = (distance.x & halved) * params.step + (distance.y & halved);
  let moved = (distance >> vec2u(u32(halved))) - params.lowest;
  let row = i32(step * K) + moved.x * i32(params.line_pixels) + moved.y;
  let pixel = (part * u32(params.step * params.step) + u32(plane)) * params.plane_rows + u32(row);
  let channel = min(block, (params.in_channels - 1u) / N) * N;
  return subgroupMatrixLoad<subgroup_matrix_right<f16, N, K>, row_major>(&x, pixel * params.depth + channel, params.depth);
}

fn store(row: u32, column: u32, sum: f32) {
  if (row >= params.out_channels || column >= params.in_channels) { return; }
  let line = (split_place * params.out_channels + row) * params.kernel * params.kernel + tap;
  partial[line * params.in_channels + column] = unscaled(sum, d_out_exponents[row] + x_exponents[column]);
}

@compute @workgroup_size(threads)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32, @builtin(subgroup_id) subgroup: u32) {
  let taps = params.kernel * params.kernel;
  tap = group.x % taps;
  split_place = params.first_split + group.z;
  let first = group.z * params.split_steps;
  let end = min(first + params.split_steps, params.d_out_rows / K);
  sum_tile(group.y * tile_rows, group.x / taps * tile_columns, first, end, thread, subgroup);
}
