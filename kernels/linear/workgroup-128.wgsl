// out[m,n] (+)= Σ_k a[m,k] · b[n,k] (+ bias[n]) (+ addend[m,n]), a, bias, addend and out f32, b of any storage, any sizes and strides: serves
// x·Wᵀ, dOut·W and dOutᵀ·x on a GPU. 128 × 128 outputs per workgroup, 8 × 8 per thread (16 apart, so that neighbors read neighbors);
// 8 steps of k at a time pass through workgroup memory. Every `segment` steps the sum so far goes to a total: this order of
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
  segment: u32,   // a multiple of 8
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
const pitch = 132u;
var<workgroup> a_tile: array<f32, 1056>;
var<workgroup> b_tile: array<f32, 1056>;

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
  let first_row = (group.z * 65535u + group.y) * 128u;
  let first_column = group.x * 128u;
  let across = thread % 16u;
  let down = thread / 16u;
  var s0l = vec4f(); var t0l = vec4f();
  var s0h = vec4f(); var t0h = vec4f();
  var s1l = vec4f(); var t1l = vec4f();
  var s1h = vec4f(); var t1h = vec4f();
  var s2l = vec4f(); var t2l = vec4f();
  var s2h = vec4f(); var t2h = vec4f();
  var s3l = vec4f(); var t3l = vec4f();
  var s3h = vec4f(); var t3h = vec4f();
  var s4l = vec4f(); var t4l = vec4f();
  var s4h = vec4f(); var t4h = vec4f();
  var s5l = vec4f(); var t5l = vec4f();
  var s5h = vec4f(); var t5h = vec4f();
  var s6l = vec4f(); var t6l = vec4f();
  var s6h = vec4f(); var t6h = vec4f();
  var s7l = vec4f(); var t7l = vec4f();
  var s7h = vec4f(); var t7h = vec4f();
  for (var start = 0u; start < params.inner; start += 8u) {
    for (var load = 0u; load < 4u; load++) {
      let place = load * 256u + thread;
      let a_k = select(place / 128u, place % 8u, A_ALONG);
      let a_row = select(place % 128u, place / 8u, A_ALONG);
      var value = 0.0;
      if (first_row + a_row < params.rows && start + a_k < params.inner) { value = a[(first_row + a_row) * params.a_row + (start + a_k) * params.a_inner]; }
      a_tile[a_k * pitch + a_row] = value;
      let b_k = select(place / 128u, place % 8u, B_ALONG);
      let b_column = select(place % 128u, place / 8u, B_ALONG);
      value = 0.0;
      if (first_column + b_column < params.columns && start + b_k < params.inner) { value = b_element((first_column + b_column) * params.b_column + (start + b_k) * params.b_inner); }
      b_tile[b_k * pitch + b_column] = value;
    }
    workgroupBarrier();
    for (var k = 0u; k < 8u; k++) {
      let b_place = k * pitch + across;
      let a_place = k * pitch + down;
      let b_l = vec4f(b_tile[b_place + 0u], b_tile[b_place + 16u], b_tile[b_place + 32u], b_tile[b_place + 48u]);
      let b_h = vec4f(b_tile[b_place + 64u], b_tile[b_place + 80u], b_tile[b_place + 96u], b_tile[b_place + 112u]);
      let a0 = a_tile[a_place + 0u]; s0l = fma(vec4f(a0), b_l, s0l); s0h = fma(vec4f(a0), b_h, s0h);
      let a1 = a_tile[a_place + 16u]; s1l = fma(vec4f(a1), b_l, s1l); s1h = fma(vec4f(a1), b_h, s1h);
      let a2 = a_tile[a_place + 32u]; s2l = fma(vec4f(a2), b_l, s2l); s2h = fma(vec4f(a2), b_h, s2h);
      let a3 = a_tile[a_place + 48u]; s3l = fma(vec4f(a3), b_l, s3l); s3h = fma(vec4f(a3), b_h, s3h);
      let a4 = a_tile[a_place + 64u]; s4l = fma(vec4f(a4), b_l, s4l); s4h = fma(vec4f(a4), b_h, s4h);
      let a5 = a_tile[a_place + 80u]; s5l = fma(vec4f(a5), b_l, s5l); s5h = fma(vec4f(a5), b_h, s5h);
      let a6 = a_tile[a_place + 96u]; s6l = fma(vec4f(a6), b_l, s6l); s6h = fma(vec4f(a6), b_h, s6h);
      let a7 = a_tile[a_place + 112u]; s7l = fma(vec4f(a7), b_l, s7l); s7h = fma(vec4f(a7), b_h, s7h);
    }
    if ((start + 8u) % params.segment == 0u || start + 8u >= params.inner) {
      t0l += s0l; s0l = vec4f(); t0h += s0h; s0h = vec4f();
      t1l += s1l; s1l = vec4f(); t1h += s1h; s1h = vec4f();
      t2l += s2l; s2l = vec4f(); t2h += s2h; s2h = vec4f();
      t3l += s3l; s3l = vec4f(); t3h += s3h; s3h = vec4f();
      t4l += s4l; s4l = vec4f(); t4h += s4h; s4h = vec4f();
      t5l += s5l; s5l = vec4f(); t5h += s5h; s5h = vec4f();
      t6l += s6l; s6l = vec4f(); t6h += s6h; s6h = vec4f();
      t7l += s7l; s7l = vec4f(); t7h += s7h; s7h = vec4f();
    }
    workgroupBarrier();
  }
  let row = first_row + down;
  let column = first_column + across;
  store4(row + 0u, column, t0l);
  store4(row + 0u, column + 64u, t0h);
  store4(row + 16u, column, t1l);
  store4(row + 16u, column + 64u, t1h);
  store4(row + 32u, column, t2l);
  store4(row + 32u, column + 64u, t2h);
  store4(row + 48u, column, t3l);
  store4(row + 48u, column + 64u, t3h);
  store4(row + 64u, column, t4l);
  store4(row + 64u, column + 64u, t4h);
  store4(row + 80u, column, t5l);
  store4(row + 80u, column + 64u, t5h);
  store4(row + 96u, column, t6l);
  store4(row + 96u, column + 64u, t6h);
  store4(row + 112u, column, t7l);
  store4(row + 112u, column + 64u, t7h);
}
