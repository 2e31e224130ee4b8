// Muon's first half for one matrix (Jordan et al. 2024): g ← g · min(1, max_norm / (‖g‖ + 1e-6)), m ← μm + g,
// direction ← g + μm (Nesterov). The gradient is cleared. A non-finite norm leaves m alone and the direction zero.
struct Params {
  count: u32,
  momentum: f32,
  max_norm: f32,  // ≤ 0: no clipping
}

@group(0) @binding(0) var<storage, read_write> gradient: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> velocity: array<vec4f>;
@group(0) @binding(2) var<storage, read> report: array<f32>;
@group(0) @binding(3) var<storage, read_write> direction: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index * 4u >= params.count) { return; }
  var value = gradient[index];
  gradient[index] = vec4f();
  if (report[1] == 0.0) {
    direction[index] = vec4f();
    return;
  }
  if (params.max_norm > 0.0) { value *= min(1.0, params.max_norm / (report[0] + 1e-6)); }
  let m = params.momentum * velocity[index] + value;
  velocity[index] = m;
  direction[index] = value + params.momentum * m;
}
