// out[n, :] = x[n, :] · scale[n] · weight, scale[n] = 1 / sqrt(mean(x[n, :]²) + ε), f32.
// LANES threads share a row.
//! use lib/rows/thread.wgsl as ROWS
//! use lib/cell.wgsl
//! use lib/rms-factor.wgsl
alias Cell = vec4f;  // f32 where a row is no whole number of vectors
const CELL: u32 = 4u;

struct Params {
  rows: u32,
  width: u32,  // columns, in cells
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Cell>;
@group(0) @binding(1) var<storage, read> weight: array<Cell>;
@group(0) @binding(2) var<storage, read_write> out: array<Cell>;
@group(0) @binding(3) var<storage, read_write> scale: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = (group.y * groups.x + group.x) * (64u / LANES) + thread / LANES;
  let lane = thread % LANES;
  let base = min(row, params.rows - 1u) * params.width;
  let factor = rms_factor(base, params.width, params.epsilon, thread);
  if (row >= params.rows) { return; }
  for (var i = lane; i < params.width; i += LANES) { out[base + i] = x[base + i] * factor * weight[i]; }
  if (lane == 0u) { scale[row] = factor; }
}
