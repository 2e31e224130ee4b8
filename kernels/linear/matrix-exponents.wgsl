// exponents[r] = 13 − ⌊log2 max_k |x[r,k]|⌋ within −114 … 126, x of any storage and strides: 2^exponents[r] · x[r] lies below 2^14, most of it
// where f16 is exact to 11 bits. 0 for a row of zeros, and for one with NaN or infinity, which come out as they are. Counts what is lost.
//! use lib/packed.wgsl
//! use lib/matrix-parts.wgsl
//! use lib/matrix-counts.wgsl
const BITS: u32 = 32u;
const BRAIN: bool = false;
const GROUP: u32 = 64u;
const ALONG: bool = true;   // neighbors along k are neighbors in memory: a workgroup takes a row; else a thread does
const PARTS: u32 = 1u;      // as in matrix.wgsl
const COUNTED: bool = true; // false: x is not what is multiplied, but the largest of it (conv2d/matrix-largest.wgsl)

struct Params {
  rows: u32,
  inner: u32,
  x_row: u32,  // strides, in elements
  x_inner: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;
@group(0) @binding(2) var<storage, read_write> exponents: array<i32>;
// [value, lost, broken][low, high word]
@group(0) @binding(3) var<storage, read_write> counts: array<atomic<u32>, 6>;
@group(0) @binding(4) var<uniform> params: Params;

// The bits of the largest magnitude order as numbers do, NaN last.
var<workgroup> largest: atomic<u32>;

fn magnitude(index: u32) -> u32 {
  if (BITS == 32u) { return x[index] & 0x7fffffffu; }
  const bits = min(BITS, 16u);
  const per_word = 32u / bits;
  let word = x[index / per_word] >> ((index % per_word) * bits);
  if (BITS == 16u) { return bitcast<u32>(widen_pair(word).x) & 0x7fffffffu; }
  let scale = scale_minimum(scales[index / GROUP]);
  return bitcast<u32>(scale.y + scale.x * f32(word & ((1u << bits) - 1u))) & 0x7fffffffu;
}

fn largest_of(row: u32, first: u32, step: u32) -> u32 {
  var most = 0u;
  for (var k = first; k < params.inner; k += step) { most = max(most, magnitude(row * params.x_row + k * params.x_inner)); }
  return most;
}

fn count_row(row: u32, first: u32, step: u32, exponent: i32) {
  var found = vec3u();
  for (var k = first; k < params.inner; k += step) {
    let bits = magnitude(row * params.x_row + k * params.x_inner);
    found += judged(bits, bitcast<u32>(bitcast<f32>(bits) * power(exponent)));
  }
  count(found);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = group.y * groups.x + group.x;
  if (ALONG) {
    if (index < params.rows) { atomicMax(&largest, largest_of(index, lane, 64u)); }
    workgroupBarrier();
    if (index < params.rows) {
      let exponent = exponent_of(atomicLoad(&largest));
      if (lane == 0u) { exponents[index] = exponent; }
      if (COUNTED) { count_row(index, lane, 64u, exponent); }
    }
  } else {
    let row = index * 64u + lane;
    if (row < params.rows) {
      let exponent = exponent_of(largest_of(row, 0u, 1u));
      exponents[row] = exponent;
      if (COUNTED) { count_row(row, 0u, 1u, exponent); }
    }
  }
  workgroupBarrier();
  if (COUNTED && lane == 0u) { add_counts(); }
}
