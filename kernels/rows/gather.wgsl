// out[m, :] = x[rows[m] - first, :] where that is a row of x, f32 [M, width]: a table in parts is gathered part by
// part. One thread per four columns of an output row.
alias Cell = vec4f;  // f32 where a row is no whole number of vectors
struct Params {
  count: u32,  // M
  width: u32,  // columns, in cells
  first: u32,  // the row of the table that x begins with
  size: u32,   // rows of x
}

@group(0) @binding(0) var<storage, read> x: array<Cell>;
@group(0) @binding(1) var<storage, read> rows: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<Cell>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.count * params.width) { return; }
  let m = index / params.width;
  let row = rows[m] - params.first;
  if (row >= params.size) { return; }
  out[index] = x[row * params.width + index - m * params.width];
}
