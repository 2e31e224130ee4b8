// As gather-packed.wgsl for values of 16 bits in rows of any width: one thread per element of the output.
//! use lib/packed.wgsl
const BRAIN: bool = false;

struct Params {
  count: u32,  // M
  width: u32,  // columns
  first: u32,  // the row of the table that x begins with
  size: u32,   // rows of x
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> rows: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.count * params.width) { return; }
  let m = index / params.width;
  let row = rows[m] - params.first;
  if (row >= params.size) { return; }
  let element = row * params.width + index - m * params.width;
  let pair = widen_pair(x[element / 2u]);
  out[index] = select(pair.x, pair.y, element % 2u == 1u);
}
