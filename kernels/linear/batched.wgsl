// out[s][m,n] = Σ_k a[s][m,k] · b[s][n,k] for every s of a batch, f32, any sizes and strides: the product of two batches of matrices
// and the gradients of both. One 4×4 register tile per thread, 64 tiles a workgroup. Sums run over k in one order.
struct Params {
  batch: u32,
  rows: u32,
  columns: u32,
  inner: u32,
  a_row: u32,  // strides, in elements; matrices of a, b and out follow each other without gaps
  a_inner: u32,
  b_column: u32,
  b_inner: u32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = (group.y * groups.x + group.x) * 64u + lane;
  let across = (params.columns + 3u) / 4u;
  let down = (params.rows + 3u) / 4u;
  let s = tile / (across * down);
  if (s >= params.batch) { return; }
  let row = ((tile / across) % down) * 4u;
  let column = (tile % across) * 4u;
  var a_base = vec4u(s * params.rows * params.inner);
  var b_base = vec4u(s * params.columns * params.inner);
  for (var i = 0u; i < 4u; i++) {
    a_base[i] += min(row + i, params.rows - 1u) * params.a_row;
    b_base[i] += min(column + i, params.columns - 1u) * params.b_column;
  }
  var sums: array<vec4f, 4>;
  for (var k = 0u; k < params.inner; k++) {
    let kb = b_base + k * params.b_inner;
    let b_values = vec4f(b[kb.x], b[kb.y], b[kb.z], b[kb.w]);
    for (var i = 0u; i < 4u; i++) { sums[i] += a[a_base[i] + k * params.a_inner] * b_values; }
  }
  for (var i = 0u; i < 4u; i++) {
    for (var j = 0u; j < 4u; j++) {
      if (row + i < params.rows && column + j < params.columns) { out[(s * params.rows + row + i) * params.columns + column + j] = sums[i][j]; }
    }
  }
}
