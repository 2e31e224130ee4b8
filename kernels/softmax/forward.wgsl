// out[n, :] = softmax(x[n, :]), f32 [N, columns]. −∞ stands for what cannot be; NaN and +∞ make the whole row NaN.
// LANES threads share a row.
//! use lib/rows/thread.wgsl as ROWS
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
  let row = (group.y * groups.x + group.x) * (64u / LANES) + thread / LANES;
  let lane = thread % LANES;
  let base = min(row, params.rows - 1u) * params.columns;
  var top = -3.0e38;
  var worst = 0u;
  for (var i = lane; i < params.columns; i += LANES) {
    top = max(top, x[base + i]);
    worst = max(worst, broken_rank(x[base + i]));
  }
  top = row_max(top, thread);
  worst = row_max_word(worst, thread);
  var sum = 0.0;
  for (var i = lane; i < params.columns; i += LANES) { sum += exp(x[base + i] - top); }
  sum = row_add(sum, thread);
  if (is_broken(worst)) { sum = broken_nan(worst); }
  if (row >= params.rows) { return; }
  for (var i = lane; i < params.columns; i += LANES) { out[base + i] = exp(x[base + i] - top) / sum; }
}
