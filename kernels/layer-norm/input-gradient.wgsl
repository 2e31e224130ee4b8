// dX[n, :] = scale · (e − mean(e) − z · mean(e·z)) (+ addend[n, :]), e = weight · dOut[n, :], z the normalized row, f32.
// LANES threads share a row.
//! use lib/rows/thread.wgsl as ROWS
//! use lib/cell.wgsl
alias Cell = vec4f;  // f32 where a row is no whole number of vectors
const CELL: u32 = 4u;
const HAS_ADDEND: bool = false;

struct Params {
  rows: u32,
  width: u32,  // columns, in cells
}

@group(0) @binding(0) var<storage, read> x: array<Cell>;
@group(0) @binding(1) var<storage, read> weight: array<Cell>;
@group(0) @binding(2) var<storage, read> statistics: array<vec2f>;
@group(0) @binding(3) var<storage, read> d_out: array<Cell>;
@group(0) @binding(4) var<storage, read> addend: array<Cell>;
@group(0) @binding(5) var<storage, read_write> d_x: array<Cell>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = (group.y * groups.x + group.x) * (64u / LANES) + thread / LANES;
  let lane = thread % LANES;
  let safe_row = min(row, params.rows - 1u);
  let base = safe_row * params.width;
  let mean = statistics[safe_row].x;
  let scale = statistics[safe_row].y;
  var sum = 0.0;
  var product = 0.0;
  for (var i = lane; i < params.width; i += LANES) {
    let slope = weight[i] * d_out[base + i];
    sum += total(slope);
    product += inner(slope, (x[base + i] - mean) * scale);
  }
  let count = f32(params.width * CELL);
  let shift = row_add(sum, thread) / count;
  let pull = row_add(product, thread) / count;
  if (row >= params.rows) { return; }
  for (var i = lane; i < params.width; i += LANES) {
    var value = (weight[i] * d_out[base + i] - shift - (x[base + i] - mean) * scale * pull) * scale;
    if (HAS_ADDEND) { value += addend[base + i]; }
    d_x[base + i] = value;
  }
}
