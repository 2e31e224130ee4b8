// out[rows[m], :] = x[m, :], or += with ACCUMULATE, f32 [M, width]; rows must differ. One thread per four columns of an input row.
alias Cell = vec4f;  // f32 where a row is no whole number of vectors
const ACCUMULATE: bool = false;
struct Params {
  count: u32,  // M
  width: u32,  // columns, in cells
}

@group(0) @binding(0) var<storage, read> x: array<Cell>;
@group(0) @binding(1) var<storage, read> rows: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<Cell>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.count * params.width) { return; }
  let row = index / params.width;
  let target_index = rows[row] * params.width + index - row * params.width;
  if (ACCUMULATE) { out[target_index] += x[index]; } else { out[target_index] = x[index]; }
}
