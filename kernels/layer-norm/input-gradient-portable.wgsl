// dX[n, :] = scale · (e − mean(e) − z · mean(e·z)) (+ addend[n, :]), e = weight · dOut[n, :], z the normalised row, f32.
// One thread per row: for adapters without subgroups of one known size.
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
  let row = (group.y * groups.x + group.x) * 64u + thread;
  if (row >= params.rows) { return; }
  let base = row * params.width;
  let mean = statistics[row].x;
  let scale = statistics[row].y;
  var sum = 0.0;
  var product = 0.0;
  for (var i = 0u; i < params.width; i++) {
    let slope = weight[i] * d_out[base + i];
    sum += total(slope);
    product += total(slope * (x[base + i] - mean) * scale);
  }
  let count = f32(params.width * CELL);
  let shift = sum / count;
  let pull = product / count;
  for (var i = 0u; i < params.width; i++) {
    var value = (weight[i] * d_out[base + i] - shift - (x[base + i] - mean) * scale * pull) * scale;
    if (HAS_ADDEND) { value += addend[base + i]; }
    d_x[base + i] = value;
  }
}
