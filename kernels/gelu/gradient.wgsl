// dX[i] = dOut[i] · (Φ(x[i]) + x[i] · φ(x[i])). One thread per four elements.
//! use lib/gelu.wgsl
// The tanh form: x · σ(2u), u = √(2/π) (x + 0.044715 x³).
const TANH: bool = false;

struct Params {
  count: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> d_out: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> d_x: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index * 4u >= params.count) { return; }
  if (TANH) {
    var slope: vec4f;
    let share = tanh_share(x[index], &slope);
    d_x[index] = d_out[index] * (share + x[index] * slope);
    return;
  }
  var distribution: vec4f;
  var density: vec4f;
  normal_distribution(x[index], &distribution, &density);
  d_x[index] = d_out[index] * (distribution + x[index] * density);
}
