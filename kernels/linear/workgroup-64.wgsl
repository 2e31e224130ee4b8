// out[m,n] (+)= Σ_k a[m,k] · b[n,k] (+ bias[n]) (+ addend[m,n]), a, bias, addend and out f32, b of any storage, any sizes and strides: serves
// x·Wᵀ, dOut·W and dOutᵀ·x on a GPU. 64 × 64 outputs per workgroup, 4 × 4 per thread (16 apart, so that neighbors read neighbors);
// 16 steps of k at a time pass through workgroup memory. Every `segment` steps the sum so far goes to a total: this order of
// additions is also that of few-rows.wgsl, so a row has the same bits in every batch.
//! use lib/packed.wgsl
const BITS: u32 = 32u;
const BRAIN: bool = false;
const GROUP: u32 = 64u;
const A_ALONG: bool = true;  // neighbors along k are neighbors in memory
const B_ALONG: bool = true;

struct Params {
  rows: u32,
  columns: u32,
  inner: u32,
  adds: u32,      // 1: the bias; 2: the addend; 4: what `out` holds
  segment: u32,   // a multiple of 16
  a_row: u32,     // strides, in elements
  a_inner: u32,
  b_column: u32,
  b_inner: u32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<u32>;
@group(0) @binding(2) var<storage, read> scales: array<u32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> addend: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

// [k][row], rows padded so that writes along k fall into different banks.
const pitch = 68u;
var<workgroup> a_tile: array<f32, 1088>;
var<workgroup> b_tile: array<f32, 1088>;

fn b_element(index: u32) -> f32 {
  if (BITS == 32u) { return bitcast<f32>(b[index]); }
  const bits = min(BITS, 16u);
  const per_word = 32u / bits;
  let word = b[index / per_word] >> ((index % per_word) * bits);
  if (BITS == 16u) { return widen_pair(word).x; }
  let scale = scale_minimum(scales[index / GROUP]);
  return scale.y + scale.x * f32(word & ((1u << bits) - 1u));
}

fn store(row: u32, column: u32, sum: f32) {
  if (row >= params.rows || column >= params.columns) { return; }
  let index = row * params.columns + column;
  var value = sum;
  if ((params.adds & 1u) != 0u) { value += bias[column]; }
  if ((params.adds & 2u) != 0u) { value += addend[index]; }
  if ((params.adds & 4u) != 0u) { value += out[index]; }
  out[index] = value;
}

fn store4(row: u32, column: u32, sums: vec4f) {
  store(row, column, sums.x);
  store(row, column + 16u, sums.y);
  store(row, column + 32u, sums.z);
  store(row, column + 48u, sums.w);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let first_row = (group.z * 65535u + group.y) * 64u;
  let first_column = group.x * 64u;
  let across = thread % 16u;
  let down = thread / 16u;
  var s0 = vec4f(); var t0 = vec4f();
  var s1 = vec4f(); var t1 = vec4f();
  var s2 = vec4f(); var t2 = vec4f();
  var s3 = vec4f(); var t3 = vec4f();
  for (var start = 0u; start < params.inner; start += 16u) {
    for (var load = 0u; load < 4u; load++) {
      let place = load * 256u + thread;
      let a_k = select(place / 64u, place % 16u, A_ALONG);
      let a_row = select(place % 64u, place / 16u, A_ALONG);
      var value = 0.0;
      if (first_row + a_row < params.rows && start + a_k < params.inner) { value = a[(first_row + a_row) * params.a_row + (start + a_k) * params.a_inner]; }
      a_tile[a_k * pitch + a_row] = value;
      let b_k = select(place / 64u, place % 16u, B_ALONG);
      let b_column = select(place % 64u, place / 16u, B_ALONG);
      value = 0.0;
      if (first_column + b_column < params.columns && start + b_k < params.inner) { value = b_element((first_column + b_column) * params.b_column + (start + b_k) * params.b_inner); }
      b_tile[b_k * pitch + b_column] = value;
    }
    workgroupBarrier();
    for (var k = 0u; k < 16u; k++) {
      let b_place = k * pitch + across;
      let a_place = k * pitch + down;
      let b4 = vec4f(b_tile[b_place + 0u], b_tile[b_place + 16u], b_tile[b_place + 32u], b_tile[b_place + 48u]);
      let a0 = a_tile[a_place + 0u]; s0 = fma(vec4f(a0), b4, s0);
      let a1 = a_tile[a_place + 16u]; s1 = fma(vec4f(a1), b4, s1);
      let a2 = a_tile[a_place + 32u]; s2 = fma(vec4f(a2), b4, s2);
      let a3 = a_tile[a_place + 48u]; s3 = fma(vec4f(a3), b4, s3);
    }
    if ((start + 16u) % params.segment == 0u || start + 16u >= params.inner) {
      t0 += s0; s0 = vec4f();
      t1 += s1; s1 = vec4f();
      t2 += s2; s2 = vec4f();
      t3 += s3; s3 = vec4f();
    }
    workgroupBarrier();
  }
  let row = first_row + down;
  let column = first_column + across;
  store4(row + 0u, column, t0);
  store4(row + 16u, column, t1);
  store4(row + 32u, column, t2);
  store4(row + 48u, column, t3);
}
