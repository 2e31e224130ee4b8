// out[m, :] = x[rows[m] - first, :] where that is a row of x, x packed in fewer bits, out f32 [M, width], width % 4 == 0: a table in
// parts is gathered part by part. One thread per four columns of an output row.
//! use lib/packed.wgsl
const BITS: u32 = 16u;
const BRAIN: bool = false;
const GROUP: u32 = 64u;

struct Params {
  count: u32,  // M
  width: u32,  // columns, in groups of four
  first: u32,  // the row of the table that x begins with
  size: u32,   // rows of x
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.count * params.width) { return; }
  let m = index / params.width;
  let row = rows[m] - params.first;
  if (row >= params.size) { return; }
  let quad = row * params.width + index - m * params.width;
  if (BITS == 16u) {
    out[index] = vec4f(widen_pair(x[quad * 2u]), widen_pair(x[quad * 2u + 1u]));
    return;
  }
  const bits = min(BITS, 8u);  // of a code
  const quads = 8u / bits;     // in a word
  let word = x[quad / quads] >> (16u * (quad % quads));
  let scale = scale_minimum(scales[quad * 4u / GROUP]);
  out[index] = scale.y + scale.x * vec4f((vec4u(word) >> vec4u(0u, bits, 2u * bits, 3u * bits)) & vec4u((1u << bits) - 1u));
}
