// out[m,n] (+)= Σ_k a[m,k] · b[n,k] (+ bias[n]) (+ addend[m,n]), f32, any sizes and strides: serves x·Wᵀ, dOut·W and dOutᵀ·x.
// One 4×4 register tile per thread, 8×8 threads. The reference sibling of the faster variants.
// Sums run over k in one order: deterministic and independent of the batch.
const HAS_BIAS: bool = false;
const HAS_ADDEND: bool = false;
const ACCUMULATE: bool = false;

struct Params {
  rows: u32,
  columns: u32,
  inner: u32,
  a_row: u32,     // strides, in elements
  a_inner: u32,
  b_column: u32,
  b_inner: u32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> addend: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = (id.z * 524280u + id.y) * 4u;
  let column = id.x * 4u;
  if (row >= params.rows || column >= params.columns) { return; }
  var a_base = vec4u();
  var b_base = vec4u();
  for (var i = 0u; i < 4u; i++) {
    a_base[i] = min(row + i, params.rows - 1u) * params.a_row;
    b_base[i] = min(column + i, params.columns - 1u) * params.b_column;
  }
  var s0 = vec4f();
  var s1 = vec4f();
  var s2 = vec4f();
  var s3 = vec4f();
  for (var k = 0u; k < params.inner; k++) {
    let ka = k * params.a_inner;
    let kb = k * params.b_inner;
    let b_values = vec4f(b[b_base.x + kb], b[b_base.y + kb], b[b_base.z + kb], b[b_base.w + kb]);
    s0 += a[a_base.x + ka] * b_values;
    s1 += a[a_base.y + ka] * b_values;
    s2 += a[a_base.z + ka] * b_values;
    s3 += a[a_base.w + ka] * b_values;
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
      if (ACCUMULATE) { value += out[index]; }
      out[index] = value;
    }
  }
}
