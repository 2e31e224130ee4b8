// An operand of matrix-blocks.wgsl: x of any storage and strides, each row scaled by its power of two (matrix-exponents.wgsl) and written as PARTS
// f16, one part of all behind the other. A part lies in blocks of LINES rows and K steps of k, row by row: what a subgroup loads at a time is
// one piece of memory. Blocks of the same rows follow each other along k, which may lie in pieces: a filter's has one for each of its pixels. Zeros past the
// end of a piece. A thread writes two neighbors along k.
//! use lib/packed.wgsl
//! use lib/matrix-parts.wgsl
const LINES: u32 = 8u;
const K: u32 = 8u;
const PARTS: u32 = 1u;
const BITS: u32 = 32u;
const BRAIN: bool = false;
const GROUP: u32 = 64u;
const ALONG: bool = true;  // neighbors along k are neighbors in memory; else neighboring rows are

struct Params {
  rows: u32,
  pieces: u32,
  inner: u32,    // of a piece
  x_row: u32,    // strides, in elements
  x_piece: u32,
  x_inner: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;
@group(0) @binding(2) var<storage, read> exponents: array<i32>;
@group(0) @binding(3) var<storage, read_write> out: array<vec2<f16>>;
@group(0) @binding(4) var<uniform> params: Params;

fn element(index: u32) -> f32 {
  if (BITS == 32u) { return bitcast<f32>(x[index]); }
  const bits = min(BITS, 16u);
  const per_word = 32u / bits;
  let word = x[index / per_word] >> ((index % per_word) * bits);
  if (BITS == 16u) { return widen_pair(word).x; }
  let scale = scale_minimum(scales[index / GROUP]);
  return scale.y + scale.x * f32(word & ((1u << bits) - 1u));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  const pairs = K / 2u;
  const per_block = LINES * pairs;
  let index = (group.y * groups.x + group.x) * 64u + lane;
  let block = index / per_block;
  let within = index % per_block;
  let piece_depth = (params.inner + K - 1u) / K;
  let depth = params.pieces * piece_depth;
  // Neighboring threads read neighbors in memory.
  let line = select(within % LINES, within / pairs, ALONG);
  let pair = select(within / LINES, within % pairs, ALONG);
  let row = block / depth * LINES + line;
  if (row >= params.rows) { return; }
  let scale = power(exponents[row]);
  let step = block % depth;
  let k = step % piece_depth * K + pair * 2u;
  let start = row * params.x_row + step / piece_depth * params.x_piece;
  var first = 0.0;
  var second = 0.0;
  if (k < params.inner) { first = element(start + k * params.x_inner) * scale; }
  if (k + 1u < params.inner) { second = element(start + (k + 1u) * params.x_inner) * scale; }
  let blocks = (params.rows + LINES - 1u) / LINES * depth;
  let parts = split(first);
  let others = split(second);
  for (var p = 0u; p < PARTS; p++) {
    out[(p * blocks + block) * per_block + line * pairs + pair] = vec2<f16>(parts[p], others[p]);
  }
}
