// dX[n, :] = p · (dOut[n, :] − Σ p · dOut[n, :]), p = out[n, :] of the forward, f32 [N, columns].
// LANES threads share a row.
//! use lib/rows/thread.wgsl as ROWS

struct Params {
  rows: u32,
  columns: u32,
}

@group(0) @binding(0) var<storage, read> out: array<f32>;
@group(0) @binding(1) var<storage, read> d_out: array<f32>;
@group(0) @binding(2) var<storage, read_write> d_x: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = (group.y * groups.x + group.x) * (64u / LANES) + thread / LANES;
  let lane = thread % LANES;
  let base = min(row, params.rows - 1u) * params.columns;
  var mean = 0.0;
  for (var i = lane; i < params.columns; i += LANES) { mean += out[base + i] * d_out[base + i]; }
  mean = row_add(mean, thread);
  if (row >= params.rows) { return; }
  for (var i = lane; i < params.columns; i += LANES) { d_x[base + i] = out[base + i] * (d_out[base + i] - mean); }
}
