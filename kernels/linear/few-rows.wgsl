// out[M,N] (+)= x[M,K] · weight[N,K]ᵀ (+ bias[N]) for few rows on a GPU, where the weight's bytes decide: 8 rows × 32 columns per workgroup,
// weight of any storage, read 16 bytes at a time. A thread sums one of eight segments of k for one column and all rows; the segments
// are then added in order, as workgroup-64 and workgroup-128 do it. Needs K % 32 == 0.
// NORM: x is read as x / sqrt(mean(x²) + ε) · gain, the bits of rms-norm/forward. GATED: the first half of weight's rows makes gates, the other half
// what they gate: out[M,N/2] = silu(gates) · ups, 16 of each per workgroup.
//! use lib/packed.wgsl
//! use lib/swiglu.wgsl
//! use lib/cell.wgsl
//! use lib/rms-factor.wgsl
//! use lib/rows/thread.wgsl as ROWS
alias Cell = vec4f;
const CELL: u32 = 4u;
const BITS: u32 = 32u;
const BRAIN: bool = false;
const GROUP: u32 = 64u;
const NORM: bool = false;
const GATED: bool = false;

struct Params {
  rows: u32,
  columns: u32,
  inner: u32,
  adds: u32,     // 1: the bias; 4: what `out` holds
  segment: u32,  // a multiple of 32; eight of them cover `inner`
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> weight: array<vec4u>;
@group(0) @binding(2) var<storage, read> scales: array<u32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> gain: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

// [segment][row][column]
var<workgroup> sums: array<f32, 2048>;
var<workgroup> factors: array<f32, 8>;

// Four neighboring elements of those in 16 bytes; (scale, minimum) are those of their group.
fn quad(words: vec4u, index: u32, scale: vec2f) -> vec4f {
  if (BITS == 32u) { return bitcast<vec4f>(words); }
  if (BITS == 16u) { return vec4f(widen_pair(words[index * 2u % 4u]), widen_pair(words[(index * 2u + 1u) % 4u])); }
  const bits = min(BITS, 8u);
  let word = words[index * bits / 8u % 4u] >> (16u * (index % (8u / bits)));
  let codes = (vec4u(word) >> vec4u(0u, bits, 2u * bits, 3u * bits)) & vec4u((1u << bits) - 1u);
  return scale.y + scale.x * vec4f(codes);
}

fn normed(value: vec4f, row: u32, gains: vec4f) -> vec4f {
  if (NORM) { return value * factors[row] * gains; }
  return value;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let lane = thread % 32u;
  let part = thread / 32u;
  let half = params.columns / 2u;
  let gated_column = min(group.x * 16u + lane % 16u, half - 1u) + lane / 16u * half;
  let column = select(min(group.x * 32u + lane, params.columns - 1u), gated_column, GATED);
  let first_row = (group.z * 65535u + group.y) * 8u;
  let last_row = params.rows - 1u;
  let width = params.inner / 4u;
  let x0 = min(first_row + 0u, last_row) * width;
  let x1 = min(first_row + 1u, last_row) * width;
  let x2 = min(first_row + 2u, last_row) * width;
  let x3 = min(first_row + 3u, last_row) * width;
  let x4 = min(first_row + 4u, last_row) * width;
  let x5 = min(first_row + 5u, last_row) * width;
  let x6 = min(first_row + 6u, last_row) * width;
  let x7 = min(first_row + 7u, last_row) * width;
  if (NORM) {
    for (var first = 0u; first < 8u; first += 256u / LANES) {
      let row = first + thread / LANES;
      let factor = rms_factor(min(first_row + row, last_row) * width, width, params.epsilon, thread);
      if (row < 8u && thread % LANES == 0u) { factors[row] = factor; }
    }
    workgroupBarrier();
  }
  var s0 = 0.0;
  var s1 = 0.0;
  var s2 = 0.0;
  var s3 = 0.0;
  var s4 = 0.0;
  var s5 = 0.0;
  var s6 = 0.0;
  var s7 = 0.0;
  const elements = 128u / BITS;  // in 16 bytes
  let end = min((part + 1u) * params.segment, params.inner);
  for (var k = part * params.segment; k < end; k += elements) {
    let index = column * params.inner + k;
    let words = weight[index / elements];
    var scale = vec2f();
    if (BITS < 16u) { scale = scale_minimum(scales[index / GROUP]); }
    for (var q = 0u; q < elements / 4u; q++) {
      let w = quad(words, q, scale);
      let at = k / 4u + q;
      var gains = vec4f();
      if (NORM) { gains = gain[at]; }
      let v0 = normed(x[x0 + at], 0u, gains); s0 = fma(v0.x, w.x, s0); s0 = fma(v0.y, w.y, s0); s0 = fma(v0.z, w.z, s0); s0 = fma(v0.w, w.w, s0);
      let v1 = normed(x[x1 + at], 1u, gains); s1 = fma(v1.x, w.x, s1); s1 = fma(v1.y, w.y, s1); s1 = fma(v1.z, w.z, s1); s1 = fma(v1.w, w.w, s1);
      let v2 = normed(x[x2 + at], 2u, gains); s2 = fma(v2.x, w.x, s2); s2 = fma(v2.y, w.y, s2); s2 = fma(v2.z, w.z, s2); s2 = fma(v2.w, w.w, s2);
      let v3 = normed(x[x3 + at], 3u, gains); s3 = fma(v3.x, w.x, s3); s3 = fma(v3.y, w.y, s3); s3 = fma(v3.z, w.z, s3); s3 = fma(v3.w, w.w, s3);
      let v4 = normed(x[x4 + at], 4u, gains); s4 = fma(v4.x, w.x, s4); s4 = fma(v4.y, w.y, s4); s4 = fma(v4.z, w.z, s4); s4 = fma(v4.w, w.w, s4);
      let v5 = normed(x[x5 + at], 5u, gains); s5 = fma(v5.x, w.x, s5); s5 = fma(v5.y, w.y, s5); s5 = fma(v5.z, w.z, s5); s5 = fma(v5.w, w.w, s5);
      let v6 = normed(x[x6 + at], 6u, gains); s6 = fma(v6.x, w.x, s6); s6 = fma(v6.y, w.y, s6); s6 = fma(v6.z, w.z, s6); s6 = fma(v6.w, w.w, s6);
      let v7 = normed(x[x7 + at], 7u, gains); s7 = fma(v7.x, w.x, s7); s7 = fma(v7.y, w.y, s7); s7 = fma(v7.z, w.z, s7); s7 = fma(v7.w, w.w, s7);
    }
  }
  let place = part * 256u + lane;
  sums[place + 0u] = s0;
  sums[place + 32u] = s1;
  sums[place + 64u] = s2;
  sums[place + 96u] = s3;
  sums[place + 128u] = s4;
  sums[place + 160u] = s5;
  sums[place + 192u] = s6;
  sums[place + 224u] = s7;
  workgroupBarrier();
  // One thread per output: 8 rows × 32 columns, or 16 that are gated.
  let row = first_row + part;
  if (row >= params.rows) { return; }
  var total = 0.0;
  for (var s = 0u; s < 8u; s++) { total += sums[s * 256u + thread]; }
  if (GATED) {
    let out_column = group.x * 16u + lane;
    if (lane >= 16u || out_column >= half) { return; }
    var up = 0.0;
    for (var s = 0u; s < 8u; s++) { up += sums[s * 256u + thread + 16u]; }
    out[row * half + out_column] = swiglu(vec4f(total), vec4f(up)).x;
    return;
  }
  let out_column = group.x * 32u + lane;
  if (out_column >= params.columns) { return; }
  if ((params.adds & 1u) != 0u) { total += bias[out_column]; }
  let index = row * params.columns + out_column;
  if ((params.adds & 4u) != 0u) { total += out[index]; }
  out[index] = total;
}
