// out[n, :] = (x[n, :] − mean) · scale · weight + bias, scale = 1 / sqrt(variance + ε), f32; statistics[n] = (mean, scale).
// The variance is summed around the mean, so a large mean costs no digits.
// LANES threads share a row.
//! use lib/rows/thread.wgsl as ROWS
//! use lib/cell.wgsl
alias Cell = vec4f;  // f32 where a row is no whole number of vectors
const CELL: u32 = 4u;

struct Params {
  rows: u32,
  width: u32,  // columns, in cells
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Cell>;
@group(0) @binding(1) var<storage, read> weight: array<Cell>;
@group(0) @binding(2) var<storage, read> bias: array<Cell>;
@group(0) @binding(3) var<storage, read_write> out: array<Cell>;
@group(0) @binding(4) var<storage, read_write> statistics: array<vec2f>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = (group.y * groups.x + group.x) * (64u / LANES) + thread / LANES;
  let lane = thread % LANES;
  let safe_row = min(row, params.rows - 1u);
  let base = safe_row * params.width;
  let count = f32(params.width * CELL);
  var sum = 0.0;
  for (var i = lane; i < params.width; i += LANES) { sum += total(x[base + i]); }
  let mean = row_add(sum, thread) / count;
  var squares = 0.0;
  for (var i = lane; i < params.width; i += LANES) {
    let value = x[base + i] - mean;
    squares += inner(value, value);
  }
  let scale = inverseSqrt(row_add(squares, thread) / count + params.epsilon);
  if (row >= params.rows) { return; }
  for (var i = lane; i < params.width; i += LANES) { out[base + i] = (x[base + i] - mean) * scale * weight[i] + bias[i]; }
  if (lane == 0u) { statistics[row] = vec2f(mean, scale); }
}
