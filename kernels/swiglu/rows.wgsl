// out[r, c] = silu(x[r, c]) · x[r, width + c] for x f32 [R, 2 · width]: gate and up side by side. One thread per four values.
//! use lib/swiglu.wgsl
struct Params {
  rows: u32,
  width: u32,  // of out, in vec4
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.rows * params.width) { return; }
  let at = index / params.width * 2u * params.width + index % params.width;
  out[index] = swiglu(x[at], x[at + params.width]);
}
