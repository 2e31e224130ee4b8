// out[m,n] = Σ_k a[m,k] · b[n,k] (+ bias[n]) (+ addend[m,n]), b packed in fewer bits, the rest f32, any sizes and strides: serves
// x·Wᵀ and dOut·W where W is stored as f16, bf16, int8 or int4. A row may begin in the middle of a word, so every element is found
// by its own index. One 4×4 register tile per thread, 8×8 threads; the reference sibling of the faster variants.
// Sums run over k in one order: deterministic and independent of the batch.
//! use lib/packed.wgsl
const BITS: u32 = 16u;
const BRAIN: bool = false;
const GROUP: u32 = 64u;
const HAS_BIAS: bool = false;
const HAS_ADDEND: bool = false;

struct Params {
  rows: u32,
  columns: u32,
  inner: u32,
  b_column: u32,  // strides of b, in elements; a and out are dense
  b_inner: u32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<u32>;
@group(0) @binding(2) var<storage, read> scales: array<u32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> addend: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

fn element(index: u32) -> f32 {
  const per_word = 32u / BITS;
  let word = b[index / per_word] >> ((index % per_word) * BITS);
  if (BITS == 16u) { return widen_pair(word).x; }
  let scale = scale_minimum(scales[index / GROUP]);
  return scale.y + scale.x * f32(word & ((1u << BITS) - 1u));
}

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = (id.z * 524280u + id.y) * 4u;
  let column = id.x * 4u;
  if (row >= params.rows || column >= params.columns) { return; }
  var a_base = vec4u();
  var b_base = vec4u();
  for (var i = 0u; i < 4u; i++) {
    a_base[i] = min(row + i, params.rows - 1u) * params.inner;
    b_base[i] = min(column + i, params.columns - 1u) * params.b_column;
  }
  var s0 = vec4f();
  var s1 = vec4f();
  var s2 = vec4f();
  var s3 = vec4f();
  for (var k = 0u; k < params.inner; k++) {
    let kb = k * params.b_inner;
    let b_values = vec4f(element(b_base.x + kb), element(b_base.y + kb), element(b_base.z + kb), element(b_base.w + kb));
    s0 += a[a_base.x + k] * b_values;
    s1 += a[a_base.y + k] * b_values;
    s2 += a[a_base.z + k] * b_values;
    s3 += a[a_base.w + k] * b_values;
  }
  store(row, column, s0);
  store(row + 1u, column, s1);
  store(row + 2u, column, s2);
  store(row + 3u, column, s3);
}

fn store(row: u32, column: u32, values: vec4f) {
  if (row >= params.rows) { return; }
  for (var i = 0u; i < 4u; i++) {
    if (column + i < params.columns) {
      var value = values[i];
      if (HAS_BIAS) { value += bias[column + i]; }
      let index = row * params.columns + column + i;
      if (HAS_ADDEND) { value += addend[index]; }
      out[index] = value;
    }
  }
}
