// out[n, :] = softmax(x[n, :]), f32 [N, columns]. −∞ stands for what cannot be; NaN and +∞ make the whole row NaN.
// One thread per row: for adapters without subgroups of one known size.
//! use lib/broken.wgsl
struct Params {
  rows: u32,
  columns: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = (group.y * groups.x + group.x) * 64u + thread;
  if (row >= params.rows) { return; }
  let base = row * params.columns;
  var top = -3.0e38;
  var worst = 0u;
  for (var i = 0u; i < params.columns; i++) {
    top = max(top, x[base + i]);
    worst = max(worst, broken_rank(x[base + i]));
  }
  var sum = 0.0;
  for (var i = 0u; i < params.columns; i++) { sum += exp(x[base + i] - top); }
  if (is_broken(worst)) { sum = broken_nan(worst); }
  for (var i = 0u; i < params.columns; i++) { out[base + i] = exp(x[base + i] - top) / sum; }
}
