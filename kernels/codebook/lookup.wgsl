// out[r] = codebook[codes[r]]. One thread per vec4; D % 4 == 0. A code outside the codebook reads the last row.
struct Params {
  rows: u32,
  codes: u32,
  dimension: u32,  // D
}

@group(0) @binding(0) var<storage, read> codes: array<u32>;
@group(0) @binding(1) var<storage, read> codebook: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  let width = params.dimension / 4u;
  if (index >= params.rows * width) { return; }
  let row = index / width;
  out[index] = codebook[min(codes[row], params.codes - 1u) * width + index - row * width];
}
