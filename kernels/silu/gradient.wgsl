// dX[i] = dOut[i] · s · (1 + x[i] · (1 - s)), s = 1 / (1 + exp(-x[i])).
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
  let value = x[index];
  let s = 1.0 / (1.0 + exp(min(-value, vec4f(80.0))));
  d_x[index] = d_out[index] * s * (1.0 + value * (1.0 - s));
}
