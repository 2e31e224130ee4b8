// out[m, out_first + j] = x[m, x_first + j] (+ bias[out_first + j]) for j < count, f32: columns between matrices of different widths.
// One thread per element.
const HAS_BIAS: bool = false;

struct Params {
  rows: u32,
  count: u32,
  x_columns: u32,
  x_first: u32,
  out_columns: u32,
  out_first: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.rows * params.count) { return; }
  let row = index / params.count;
  let column = index - row * params.count;
  var value = x[row * params.x_columns + params.x_first + column];
  if (HAS_BIAS) { value += bias[params.out_first + column]; }
  out[row * params.out_columns + params.out_first + column] = value;
}
