// With s = sigmoid(gate): dUp = dOut · gate · s; dGate = dOut · up · s · (1 + gate · (1 − s)). One thread per four elements.
struct Params {
  count: u32,
}

@group(0) @binding(0) var<storage, read> gate: array<vec4f>;
@group(0) @binding(1) var<storage, read> up: array<vec4f>;
@group(0) @binding(2) var<storage, read> d_out: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> d_gate: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> d_up: array<vec4f>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index * 4u >= params.count) { return; }
  let g = gate[index];
  let s = 1.0 / (1.0 + exp(min(-g, vec4f(80.0))));
  let d = d_out[index] * s;
  d_up[index] = d * g;
  d_gate[index] = d * up[index] * (1.0 + g * (1.0 - s));
}
