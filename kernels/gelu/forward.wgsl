// out[i] = x[i] · Φ(x[i]): GELU with the exact normal distribution. One thread per four elements.
//! use lib/gelu.wgsl
// The tanh form: x · σ(2u), u = √(2/π) (x + 0.044715 x³).
const TANH: bool = false;

struct Params {
  count: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index * 4u >= params.count) { return; }
  if (TANH) {
    var slope: vec4f;
    out[index] = x[index] * tanh_share(x[index], &slope);
    return;
  }
  var distribution: vec4f;
  var density: vec4f;
  normal_distribution(x[index], &distribution, &density);
  out[index] = x[index] * distribution;
}
